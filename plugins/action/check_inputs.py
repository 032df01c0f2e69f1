"""Ansible's action plugin check_inputs: the rules of a part for its inputs, all in one task."""

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.checks import Complaints, check_role
from warren.rules import checked, wrong_by

DOCUMENTATION = """
module: check_inputs
short_description: Check all rules for a part's inputs, and say everything that is wrong
description:
  - One task in place of one for each rule. Ansible runs each task of each host in a process of its own, and fills in
    the message of M(ansible.builtin.assert) even where all is well.
  - Says what is wrong with all rules, not only with the first. Runs on the control node, and changes nothing.
  - Takes C(rules), or C(role).
options:
  role:
    description:
      - The role whose inputs are checked, by its specification and its C(vars/rules.yml). C(check_inventory) checks
        those of all roles and hosts at once.
    type: str
  rules:
    description: The rules.
    type: list
    elements: dict
    suboptions:
      name:
        description: What is wanted, such as C(every task has a queue).
        type: str
        required: true
      that:
        description: An expression that must be true, or a list of some.
        type: raw
        required: true
      message:
        description: What to say where it is not. Filled in only then.
        type: str
        required: true
      loop:
        description: Values to check one by one, each as C(item).
        type: list
        elements: raw
author: [Warren]
"""

EXAMPLES = """
- check_inputs:
    rules:
      - name: each program has a queue
        that: item.queues | length > 0
        message: Give the program {{ item.name }} a queue.
        loop: "{{ shop_programs }}"
"""


class ActionModule(ActionBase):
    """The action plugin."""

    _requires_connection = False
    _supports_check_mode = True

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Leave the rules as they are written: their expressions and messages are for run()."""
        return value

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Check the rules; fails with a sentence for each that is broken."""
        result = super().run(tmp, task_vars)
        if role := self._task.args.get("role"):
            host = task_vars["inventory_hostname"]
            complaints = Complaints([host])
            check_role(role, host, task_vars, self._loader, self._templar.copy_with_new_env, complaints, {})
            said = " ".join(complaints.sentences())
        else:
            try:
                rules = checked(self._task.args["rules"])
            except ValueError as error:
                raise AnsibleActionFail(str(error)) from error
            said = " ".join(wrong_by(rules, task_vars, self._templar.copy_with_new_env))
        return result | ({"failed": True, "msg": said} if said else {"changed": False})
