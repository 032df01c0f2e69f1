"""Ansible's action plugin ask_parts: it reads what each part is asked, and the module of this name asks the host."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):
    """The action plugin."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Ask the parts, and return what the module returns; a host that gives no answer is one without answers."""
        result = super().run(tmp, task_vars)
        questions = {role: self._question(role, task_vars) for role in self._task.args["parts"]}
        answers, asked = {}, time.time()
        for role in [role for role, question in questions.items() if "haproxy_stats" in question]:
            # Only where a host has one: the library takes long to load.
            from warren.haproxy_page import read_page

            answers[role] = read_page(**questions.pop(role)["haproxy_stats"])
        answers |= self._ask(questions, task_vars)
        return result | {"answers": answers, "asked": asked, "answered": time.time()}

    def _question(self, role: str, task_vars: dict[str, Any]) -> dict:
        """Return what a role's vars/status.yml asks, with the role's own variables and the text of its script."""
        read = {
            name: self._loader.load_from_file(str(ROLES / role / name), trusted_as_template=True) or {}
            for name in ("defaults/main.yml", "vars/main.yml", "vars/status.yml")
        }
        variables = read["defaults/main.yml"] | task_vars | read["vars/main.yml"] | read["vars/status.yml"]
        templar = self._templar.copy_with_new_env(available_variables=variables)
        question = templar.template(read["vars/status.yml"][f"{role}_status"])
        if "script" in question:
            question["stdin"] = (ROLES / role / "files" / question.pop("script")).read_text()
        return question

    def _ask(self, questions: dict[str, dict], task_vars: dict[str, Any]) -> dict[str, dict]:
        """Return what the host's parts answer, or for each why the host does not."""
        # So that no password is in a log, and none is cut out of the answers.
        given = base64.b64encode(json.dumps(questions).encode()).decode()
        try:
            said = self._execute_module(module_args={"questions": given}, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            said = {"unreachable": True, "msg": str(error)}
        return said.get("answers") or {role: said for role in questions}
