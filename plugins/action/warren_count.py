"""Ansible's action plugin warren_count: it counts the tasks of a run that were accepted, done, lost and done twice.

It takes `run`, the run's id, and `ledger`, the folder that holds the run's folder, and returns `counts`, as the
reference project's build_report() describes them.
"""

import sys
from pathlib import Path
from typing import Any, ClassVar

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import LocalAction
from warren.ledger import LedgerError, build_report, read_run


class ActionModule(LocalAction):
    """The action plugin."""

    OPTIONS: ClassVar = {"run": {"type": "str", "required": True}, "ledger": {"type": "path", "required": True}}
    # A run id that is none is a ValueError.
    REFUSALS = (LedgerError, ValueError, OSError)

    def act(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns."""
        found = read_run(Path(given["ledger"]), given["run"])
        return {"counts": build_report(given["run"], found.records, found.unreadable_lines)}
