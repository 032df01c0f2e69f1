"""Ansible's vars plugin `vault_password`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.group import InventoryObjectType
from ansible.parsing.vault import is_encrypted
from ansible.plugins.vars import BaseVarsPlugin

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.secrets import NO_PASSWORD

DOCUMENTATION = """
name: vault_password
short_description: Say what to type where a file of variables is encrypted and no password was given
description:
  - Ansible itself says that it found no vault secrets, and neither which file it is nor what to type.
  - Gives no variables. Ansible asks it before its own C(host_group_vars), which reads the files.
author: [Warren]
"""
HEADER_BYTES = 64


class VarsModule(BaseVarsPlugin):
    """The vars plugin."""

    is_stateless = True

    def __init__(self):
        """Remember what was looked at: Ansible asks anew for each host and task."""
        super().__init__()
        self._seen: set[tuple[str, str, str]] = set()

    def get_vars(self, loader: Any, path: str, entities: Any) -> dict:
        """Return no variables.

        :raises AnsibleError: a file of these hosts or groups is encrypted, and no password was given.
        """
        # What host_group_vars reads, too.
        if not loader._vault.secrets:
            for file in self._new_files(loader, path, entities if isinstance(entities, list) else [entities]):
                with Path(file).open("rb") as opened:
                    encrypted = is_encrypted(opened.read(HEADER_BYTES))
                if encrypted:
                    raise AnsibleError(f"{file} is encrypted, and {NO_PASSWORD}")
        return {}

    def _new_files(self, loader: Any, path: str, entities: list) -> Iterator[str]:
        for entity in entities:
            kind = "host_vars" if entity.base_type is InventoryObjectType.HOST else "group_vars"
            key = (path, kind, entity.name)
            folder = Path(path, kind)
            if key not in self._seen and folder.is_dir() and not entity.name.startswith("/"):
                self._seen.add(key)
                yield from map(str, loader.find_vars_files(str(folder), entity.name))
