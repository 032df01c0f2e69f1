"""The variables of any host, for action plugins that look at all hosts in one task."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from ansible.template import trust_as_template

SHARED = ("hostvars", "groups", "ansible_inventory_sources", "playbook_dir")
PARTS = trust_as_template("{{ kit_parts | parts_of(group_names) }}")


class HostVariables:
    """A host, with the variables that it would have in a task of its own."""

    def __init__(self, name: str, task_vars: dict[str, Any], templar_for: Callable[..., Any]):
        """Take the variables of a task, and what returns a templar for some `available_variables`."""
        self.name = name
        # The same object for all hosts where it is the same; Ansible makes one for each.
        shared = {key: task_vars[key] for key in SHARED if key in task_vars}
        self.given: dict[str, Any] = task_vars["hostvars"].raw_get(name) | shared
        self.templar_for = templar_for
        self._templar = templar_for(available_variables=self.given)
        # Each value takes Ansible milliseconds.
        self._known: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """Return the value of a variable.

        :raises AnsibleError: it cannot be evaluated.
        """
        if name not in self._known:
            self._known[name] = self._templar.template(self.given[name])
        return self._known[name]

    def optional(self, name: str, default: Any) -> Any:
        """Return the value of an input, or the default that its role has for it.

        :raises AnsibleError: it cannot be evaluated.
        """
        return self.value(name) if name in self.given else default

    @cached_property
    def roles(self) -> list[str]:
        """The host's roles.

        :raises AnsibleError: they depend on what cannot be evaluated.
        """
        return self._templar.template(PARTS)
