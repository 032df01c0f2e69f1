"""Ansible's filter playbook_command."""

import os
import shlex
from pathlib import Path

DOCUMENTATION = """
name: playbook_command
short_description: The command that runs one of the kit's playbooks on this cluster again
description:
  - What a message says to type, with every inventory of the run, so that it can reach no other cluster.
  - It is typed where the command of the run was, in a folder with an C(ansible.cfg). What belongs to the kit is named
    from there, other inventories in full, so that the command reaches the same cluster from another folder, or none.
  - Each word is quoted for a shell. A word that a client chose, such as the name of a queue, has no place in it.
positional: playbook, arguments
options:
  _input:
    description: The magic variable C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
  playbook:
    description: Path of the playbook below C(playbooks/).
    type: str
    required: true
  arguments:
    description: More words of the command.
    type: list
    elements: str
author: [Warren]
"""

EXAMPLES = """
# ansible-playbook -i ../warren/inventory/kit -i /srv/shop/hosts.yml ../warren/playbooks/site.yml --tags rabbitmq
command: "{{ ansible_inventory_sources | playbook_command('site.yml', '--tags', 'rabbitmq') }}"
"""

RETURN = """
_value:
  description: The command.
  type: str
"""

KIT = Path(__file__).resolve().parents[2]


def playbook_command(sources: list[str], playbook: str, *arguments: str) -> str:
    """Return the command that runs a playbook of the kit with the inventories `sources`, quoted for a shell.

    :param playbook: path below playbooks/.
    :param arguments: more words of the command.
    """
    inventories = [word for source in sources for word in ("-i", _typed(source))]
    return shlex.join(["ansible-playbook", *inventories, os.path.relpath(KIT / "playbooks" / playbook), *arguments])


def _typed(source: str) -> str:
    """Return an inventory as it is typed here; a list of hosts, which has a comma, is no path."""
    inside = "," not in source and Path(source).is_relative_to(KIT)
    return os.path.relpath(source) if inside else source


class FilterModule:
    """The filter plugin."""

    def filters(self):
        """Return the filter by its name."""
        return {"playbook_command": playbook_command}
