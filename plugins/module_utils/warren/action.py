"""What the action plugins of the kit have in common: they run on the control node, in Ansible's own process."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from warren.model import write_json, wrong_thresholds


class ReportAction(ActionBase):
    """Takes `facts`, as model.py says, and `file`, which it writes in check mode too: no host is changed."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    @abstractmethod
    def report(self, facts: dict) -> tuple[dict, dict]:
        """Return what the file holds, and what the task returns."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Write the file, and return the task's result.

        :raises AnsibleActionFail: when an argument or a threshold is missing or wrong, or the file cannot be written.
        """
        result = super().run(tmp, task_vars)
        options = {"facts": {"type": "dict", "required": True}, "file": {"type": "path", "required": True}}
        _, given = self.validate_argument_spec(options)
        try:
            wrong = wrong_thresholds(given["facts"]["thresholds"])
            if wrong:
                raise AnsibleActionFail(" ".join(wrong))
            found, returned = self.report(given["facts"])
        except KeyError as error:
            raise AnsibleActionFail(f"`facts` lacks {error}; give `status_facts` of status/vars/facts.yml.") from error
        try:
            write_json(Path(given["file"]), found)
        except OSError as error:
            raise AnsibleActionFail(f"{given['file']} cannot be written: {error.strerror}.") from error
        return result | {"changed": False} | returned
