"""Ansible's action plugin warren_drill_report: it reports what the fault of a drill has cost, counted from the ledger.

It takes `facts`, as check_facts() describes them, `ledger`, the folder that holds the run's folder, and `folder`,
where it writes RUN.json and RUN.html. It returns `summary`, a line, `page`, the path of RUN.html, and `passed`, which
is null where the drill has no bounds.
"""

import sys
from pathlib import Path
from typing import Any, ClassVar

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import LocalAction
from warren.drill_report import InputError, summary, write_report
from warren.ledger import LedgerError


class ActionModule(LocalAction):
    """The action plugin."""

    OPTIONS: ClassVar = {
        "facts": {"type": "dict", "required": True},
        "ledger": {"type": "path", "required": True},
        "folder": {"type": "path", "required": True},
    }
    REFUSALS = (InputError, LedgerError, OSError)

    def act(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns."""
        folder = Path(given["folder"]).resolve()
        drill = write_report(given["facts"], Path(given["ledger"]), folder)
        return {"summary": summary(drill), "page": str(folder / f"{drill['run']}.html"), "passed": drill["passed"]}
