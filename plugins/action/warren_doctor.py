"""Ansible's action plugin warren_doctor: it looks for what is wrong in what the hosts answered.

It takes `facts` and `file`, writes the JSON that docs/formats.md describes to the file, and returns
`screen`, a text with the terminal's colours, `findings`, as in the file, and `passed`.
"""

import sys
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import ReportAction
from warren.doctor import examine, report, verdict


class ActionModule(ReportAction):
    """The action plugin."""

    def report(self, facts: dict) -> tuple[dict, dict]:
        """Return what the file holds, and what the task returns."""
        findings = examine(facts)
        found = verdict(facts, findings)
        return found, {"screen": report(findings), "findings": found["checks"], "passed": found["passed"]}
