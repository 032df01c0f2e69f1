"""Ansible's action plugin check_inputs: the rules of a part for its inputs, all in one task."""

from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: check_inputs
short_description: Check all rules for a part's inputs, and say everything that is wrong
description:
  - One task in place of one for each rule. Ansible runs each task of each host in a process of its own, and fills in
    the message of M(ansible.builtin.assert) even where all is well.
  - Says what is wrong with all rules, not only with the first. Runs on the control node, and changes nothing.
options:
  rules:
    description: The rules.
    type: list
    elements: dict
    required: true
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
        broken, unknown = [], []
        rules = self._task.args["rules"]
        needed = {"name", "that", "message"}
        if not all(isinstance(rule, dict) and needed <= rule.keys() <= needed | {"loop"} for rule in rules):
            raise AnsibleActionFail("Each rule needs name, that and message, and may have loop.")
        for rule in rules:
            try:
                broken += self._broken(rule, task_vars)
            except AnsibleError as error:
                unknown.append(f"It cannot be checked whether {rule['name']}: {error}")
        # A broken rule may be why another cannot be checked. One about programs says the same of each.
        said = " ".join(dict.fromkeys(broken or unknown))
        return result | ({"failed": True, "msg": said} if said else {"changed": False})

    def _broken(self, rule: dict, task_vars: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong by one rule.

        :raises AnsibleError: when an expression cannot be evaluated.
        """
        wanted = rule["that"] if isinstance(rule["that"], list) else [rule["that"]]
        for item in self._templar.template(rule["loop"]) if "loop" in rule else [None]:
            variables = task_vars | ({"item": item} if "loop" in rule else {})
            templar = self._templar.copy_with_new_env(available_variables=variables)
            if not all(templar.evaluate_conditional(expression) for expression in wanted):
                yield str(templar.template(rule["message"])).strip()
