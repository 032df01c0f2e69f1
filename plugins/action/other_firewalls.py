"""Ansible's action plugin other_firewalls: what hosts outside of a run have to let its hosts in."""

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.host_variables import HostVariables

DOCUMENTATION = """
module: other_firewalls
short_description: Find the hosts outside of a run whose firewalls let in one of its hosts
description:
  - For a run with C(--limit), on the control node, with C(run_once). Changes nothing.
  - A port for everybody, such as SSH, does not count, nor does one for a network.
author: [Warren]
"""

RETURN = """
firewalls:
  description: For each of these hosts its C(name), and its C(inputs), those that the rules of its firewall are made of.
  type: list
  elements: dict
  returned: always
"""

# Of the role host, with their defaults.
INPUTS = {"host_firewall_ports": [], "host_firewall_extra_ports": []}


class ActionModule(ActionBase):
    """The action plugin."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Return the hosts that have to let those of the run in."""
        result = super().run(tmp, task_vars)
        running = task_vars["ansible_play_hosts_all"]
        hosts = {name: self._host(name, task_vars) for name in task_vars["groups"]["all"]}
        guests = {hosts[name].value("cluster_address") for name in running}
        others = [host for name, host in hosts.items() if name not in running and host.optional("host_firewall", False)]
        inputs = {
            host.name: {name: host.optional(name, default) for name, default in INPUTS.items()} for host in others
        }
        firewalls = [
            {"name": name, "inputs": of_host}
            for name, of_host in inputs.items()
            if any(guests.intersection(port["clients"]) for port in of_host["host_firewall_ports"])
        ]
        return result | {"changed": False, "firewalls": firewalls}

    def _host(self, name: str, task_vars: dict[str, Any]) -> HostVariables:
        return HostVariables(name, task_vars, self._templar.copy_with_new_env)
