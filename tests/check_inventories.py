"""Check inventories as preflight does, many in one process: a run of ansible-playbook takes seconds for each.

Reads a case a line, as JSON, from the standard input: `files`, the inventories after the kit's, and `extra`, what is
given after `-e`. Writes what is wrong with each, a list of sentences, as a line of JSON to the standard output.
"""

import json
import sys
from pathlib import Path
from unittest import mock

from ansible._internal._templating._jinja_bits import AnsibleEnvironment
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

PROJECT = Path(__file__).resolve().parents[1]


class KeepingLoader(DataLoader):
    """Gives each file as it was read the first time. Ansible's own makes a copy, which takes longer than all else."""

    def load_from_file(self, file_name: str, **how) -> object:
        """Return what is in a file."""
        return super().load_from_file(file_name, **how | {"unsafe": True})


def compile_once() -> None:
    """Let Ansible compile each expression once in this process, and not for each inventory."""
    compile_anew, known = AnsibleEnvironment.compile, {}

    def compile_known(environment, source, *how, **more):
        # Of compile_expression it comes parsed; an overlay has other delimiters.
        if not isinstance(source, str) or environment.overlayed:
            return compile_anew(environment, source, *how, **more)
        if source not in known:
            known[source] = compile_anew(environment, source, *how, **more)
        return known[source]

    AnsibleEnvironment.compile = compile_known


def sentences(loader: DataLoader, files: list[str], extra: dict) -> list[str]:
    """Return what is wrong with an inventory.

    :param loader: keeps the kit's files that it has read.
    """
    sources = [str(PROJECT / "inventory/kit"), *files]
    inventory = InventoryManager(loader=loader, sources=sources)
    manager = VariableManager(loader=loader, inventory=inventory)
    # What ansible-playbook takes from its arguments.
    manager._extra_vars = extra
    manager._options_vars["ansible_inventory_sources"] = sources
    play = Play.load({"name": "Check", "hosts": "all", "tasks": []}, variable_manager=manager, loader=loader)
    hosts = [host.name for host in inventory.get_hosts("all")]
    variables = manager.get_vars(play=play, host=inventory.get_host(hosts[0]))
    variables["hostvars"] = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    task = mock.Mock(args={"hosts": hosts}, async_val=0, check_mode=True, diff=False)
    templar = Templar(loader=loader, variables=variables)
    from check_inventory import ActionModule

    action = ActionModule(task, mock.Mock(), mock.Mock(), loader, templar, None)
    return action.run(task_vars=variables).get("msg", "").splitlines()


if __name__ == "__main__":
    sys.path.append(str(PROJECT / "plugins/action"))
    init_plugin_loader()
    compile_once()
    shared = KeepingLoader()
    shared.set_basedir(str(PROJECT / "playbooks"))
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(sentences(shared, case["files"], case.get("extra", {}))), flush=True)
