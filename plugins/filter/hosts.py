"""Ansible's filter `files_to_read`: what of a host's files preflight looks at."""

import sys
from collections.abc import Callable
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.host_rules import files_to_read


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"files_to_read": files_to_read}
