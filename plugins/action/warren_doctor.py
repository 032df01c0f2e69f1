"""Ansible's action plugin warren_doctor: it looks for what is wrong in what the hosts answered.

It takes `facts` and `file`, writes the JSON that docs/formats.md describes to the file, and returns
`screen`, a text with the terminal's colours, `findings`, as in the file, `passed`, and `well`: whether
neither the doctor nor status.yml finds anything wrong.
"""

import sys
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import ReportAction
from warren.doctor import examine, report, verdict
from warren.model import Cluster
from warren.screen import sections, status


class ActionModule(ReportAction):
    """The action plugin."""

    def report(self, facts: dict) -> tuple[dict, dict]:
        """Return what the file holds, and what the task returns."""
        findings = examine(facts)
        found = verdict(facts, findings)
        well = found["passed"] and not status(facts, sections(Cluster(facts)))["problems"]
        return found, {"screen": report(findings), "findings": found["checks"], "passed": found["passed"], "well": well}
