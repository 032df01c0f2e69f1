"""Ansible's action plugin warren_status: it puts what the hosts answered on one screen.

It takes `facts` and `file`, writes the JSON that docs/formats.md describes to the file, and returns
`screen`, a text with the terminal's colours, and `problems`, sentences.
"""

import sys
from pathlib import Path

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import ReportAction
from warren.model import Cluster
from warren.screen import screen, sections, status


class ActionModule(ReportAction):
    """The action plugin."""

    def report(self, facts: dict) -> tuple[dict, dict]:
        """Return what the file holds, and what the task returns."""
        shown = sections(Cluster(facts))
        found = status(facts, shown)
        return found, {"screen": screen(found, shown, facts["commands"]["verify"]), "problems": found["problems"]}
