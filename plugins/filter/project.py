"""Ansible's filters about the Celery project: `project_problems`, `requires_python` and `takes_python`."""

import sys
from collections.abc import Callable
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.project import project_problems
from warren.python_wanted import requires_python, takes_python


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "project_problems": project_problems,
            "requires_python": requires_python,
            "takes_python": takes_python,
        }
