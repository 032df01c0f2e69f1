"""Ansible's action plugin check_inventory: the inputs of all hosts, in one task."""

import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren import roles
from warren.rules import wrong_by

DOCUMENTATION = """
module: check_inventory
short_description: Check the inputs of each role of each host, and say everything that is wrong
description:
  - Checks the types of all inputs by the roles' C(meta/argument_specs.yml), and the rules in their C(vars/rules.yml)
    for each role of a host whose inputs have the right types.
  - One task in one process for all hosts, with C(run_once). For 300 hosts, Ansible would start thousands of processes,
    and each would look up the same values of all other hosts again.
  - Runs on the control node, and changes nothing.
options:
  hosts:
    description: The hosts. Each has the roles that its own C(kit_parts) says.
    type: list
    elements: str
    required: true
author: [Warren]
"""

# More say nothing new.
MOST_NAMES = 5
MOST_SENTENCES = 20


class Host:
    """A host, with the variables that it would have in a task of its own."""

    def __init__(self, name: str, task_vars: dict[str, Any], action: ActionBase):
        self.name = name
        hostvars = task_vars["hostvars"]
        self._loader = action._loader
        self._given = hostvars.raw_get(name) | {"hostvars": hostvars}
        self._templar_for = action._templar.copy_with_new_env
        parts = trust_as_template("{{ kit_parts | parts_of(group_names) }}")
        # The inputs of each role, filled in.
        self._found: dict[str, dict[str, Any]] = {}
        self._roles: list[str] = self._templar_for(available_variables=self._given).template(parts)
        self._wrong: dict[str, list[str]] = {role: list(self._wrong_types(role)) for role in self._roles}

    def _wrong_types(self, role: str) -> Iterator[str]:
        options, found = roles.options_of(role), self._found.setdefault(role, {})
        variables = roles.variables_of(self._loader, role, self._given)
        templar = self._templar_for(available_variables=variables)
        for name in options.keys() & variables.keys():
            try:
                found[name] = templar.template(variables[name])
            except AnsibleError as error:
                yield f"{name} cannot be evaluated: {error}"
        checked = ArgumentSpecValidator(options).validate(found, validate_role_argument_spec=True)
        yield from checked.error_messages

    def wrong_types(self) -> list[str]:
        """Return what is wrong with the inputs by the specifications of the host's roles."""
        return [wrong for role in self._roles for wrong in self._wrong[role]]

    def broken_rules(self) -> Iterator[str]:
        """Yield a sentence for each rule that is broken, of roles whose inputs have the right types."""
        for role in self._roles:
            if roles.has_rules(role) and not self._wrong[role]:
                variables = roles.variables_of(self._loader, role, self._given, "rules.yml")
                yield from wrong_by(variables[f"__{role}_rules"], variables | self._found[role], self._templar_for)


def wrong_inputs(hosts: Collection[Host]) -> list[str]:
    """Return a sentence for all hosts whose inputs are wrong in the same way."""
    hosts_of: dict[str, list[str]] = {}
    for host in hosts:
        if wrong := "; ".join(host.wrong_types()):
            hosts_of.setdefault(wrong, []).append(host.name)
    return [
        f"Correct these inputs of {few(names)} in the inventory or its group_vars: {wrong}"
        for wrong, names in hosts_of.items()
    ]


def few(names: list[str]) -> str:
    """Return names for a sentence."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


class ActionModule(ActionBase):
    """The action plugin."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Check the inputs; fails with a sentence for each thing that is wrong."""
        result = super().run(tmp, task_vars)
        hosts = [Host(name, task_vars, self) for name in self._task.args["hosts"]]
        said = wrong_inputs(hosts) + list(dict.fromkeys(rule for host in hosts for rule in host.broken_rules()))
        if len(said) > MOST_SENTENCES:
            said[MOST_SENTENCES:] = [f"{len(said) - MOST_SENTENCES} more like these."]
        return result | ({"failed": True, "msg": "\n".join(said)} if said else {"changed": False})
