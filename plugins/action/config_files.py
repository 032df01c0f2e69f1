"""Ansible's action plugin config_files: it reads templates and files, and the module of this name writes them."""

import base64
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

# How each key of a file is read, and with which options.
READERS = {"template": ("ansible.builtin.template", {}), "src": ("ansible.builtin.file", {"rstrip": False})}


class ActionModule(ActionBase):
    """The action plugin."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Write the files, and return what the module returns.

        :raises AnsibleActionFail: when a file has no content, or more than one.
        """
        result = super().run(tmp, task_vars)
        arguments = self._task.args | {
            "files": [self._read(dict(file), task_vars) for file in self._task.args.get("files", [])]
        }
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)

    def _read(self, file: dict, task_vars: dict[str, Any]) -> dict:
        """Return a file with its content; its `vars` are for its template alone."""
        given = file.keys() & {"content", *READERS}
        if len(given) != 1:
            raise AnsibleActionFail(f"{file.get('path')} needs one of content, template and src.")
        (key,) = given
        variables = task_vars | file.pop("vars", {})
        if key in READERS:
            name, options = READERS[key]
            lookup = lookup_loader.get(name, loader=self._loader, templar=self._templar)
            file["content"] = "".join(lookup.run([file.pop(key)], variables=variables, **options))
        # So that it is in no log, and the module can keep it out of them without taking its words out of all messages.
        return file | {"content": base64.b64encode(str(file["content"]).encode()).decode()}
