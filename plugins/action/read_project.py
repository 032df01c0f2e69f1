"""Ansible's action plugin read_project: which files of a project make its release, and which version it has.

It takes `source`, a folder on the control node, and returns `files`, the checksum of each file by its path within the
folder, and `version`, variables that tell a build the version that git knows.
"""

import sys
from pathlib import Path
from typing import Any, ClassVar

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.action import LocalAction
from warren.project import git_version, source_files


class ActionModule(LocalAction):
    """The action plugin."""

    OPTIONS: ClassVar = {"source": {"type": "path", "required": True}}
    REFUSALS = (OSError,)

    def act(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns."""
        source = Path(given["source"])
        return {"files": source_files(source), "version": git_version(source)}
