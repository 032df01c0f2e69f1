"""Ansible's action plugin ask_parts: it reads what each part is asked, and the module of this name asks the host."""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren import roles


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
        variables = roles.variables_of(self._loader, role, task_vars, "status.yml")
        templar = self._templar.copy_with_new_env(available_variables=variables)
        question = templar.template(variables[f"__{role}_question"])
        if "script" in question:
            question["stdin"] = (roles.ROLES / role / "files" / question.pop("script")).read_text()
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
