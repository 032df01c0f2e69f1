"""What the action plugins of the kit have in common: they run on the control node, in Ansible's own process."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from warren.model import write_json, wrong_thresholds


class LocalAction(ActionBase):
    """Checks its arguments, and works in check mode too: no host is changed."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    # What it takes, as an argument specification, and the exceptions whose text the operator reads.
    OPTIONS: ClassVar[dict[str, dict]]
    REFUSALS: ClassVar[tuple[type[Exception], ...]] = ()

    @abstractmethod
    def act(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the task returns besides `changed`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the task's result.

        :raises AnsibleActionFail: when an argument is missing or wrong, or the plugin refuses.
        """
        result = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(self.OPTIONS)
        try:
            return result | {"changed": False} | self.act(given)
        except self.REFUSALS as error:
            raise AnsibleActionFail(str(error)) from error


class ReportAction(LocalAction):
    """Takes `facts`, as model.py says, and `file`, which it writes."""

    OPTIONS: ClassVar = {"facts": {"type": "dict", "required": True}, "file": {"type": "path", "required": True}}

    @abstractmethod
    def report(self, facts: dict) -> tuple[dict, dict]:
        """Return what the file holds, and what the task returns."""

    def act(self, given: dict[str, Any]) -> dict[str, Any]:
        """Write the file, and return what the task returns.

        :raises AnsibleActionFail: when the facts lack something, a threshold is wrong, or the file cannot be written.
        """
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
        return returned
