"""Ansible's filter `wrong_thresholds`: which numbers of inventory/kit/thresholds.yml cannot be meant."""

import sys
from collections.abc import Callable
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.model import wrong_thresholds


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"wrong_thresholds": wrong_thresholds}
