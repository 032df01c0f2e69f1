"""Ansible's action plugin check_hosts: what the hosts answered to read_host, of all hosts in one task."""

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren import host_rules, roles
from warren.checks import some
from warren.host_variables import HostVariables
from warren.model import typed
from warren.python_wanted import takes_python

DOCUMENTATION = """
module: check_hosts
short_description: Check what the hosts have against what the inventory wants there, and say everything that is wrong
description:
  - Runs on the control node, in one process for all hosts of the play, with C(run_once). Changes nothing.
  - What the parts take on a host is in C(kit_ports) and C(kit_services) of C(inventory/kit/ports.yml).
options:
  said:
    description: The variable with what the module C(read_host) returned of a host.
    type: str
    required: true
  wanted:
    description: The fields of C(Wanted) in C(plugins/module_utils/warren/host_rules.py), as any host sees them.
    type: dict
    required: true
author: [Warren]
"""

# What an open port is, where its entry does not say it; and a zone: both as in the role host.
UNSAID = {"protocol": "tcp", "port": 0}
DEFAULT_ZONE = roles.options_of("host")["host_timezone"]["default"]


class ActionModule(ActionBase):
    """The action plugin."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Check the hosts; fails with a sentence for each thing that is wrong."""
        result = super().run(tmp, task_vars)
        wanted = typed(host_rules.Wanted, self._task.args["wanted"], "the kit")
        hosts = [self._host(name, task_vars) for name in task_vars["ansible_play_hosts"]]
        said = some(host_rules.wrong_hosts(hosts, wanted))
        return result | ({"failed": True, "msg": "\n".join(said)} if said else {"changed": False})

    def _host(self, name: str, task_vars: dict[str, Any]) -> host_rules.Host:
        """Return a host, and what it has said."""
        of_host = HostVariables(name, task_vars, self._templar.copy_with_new_env)
        given, value, parts = of_host.given, of_host.value, of_host.roles
        facts, optional = given["ansible_facts"], of_host.optional
        about = given[self._task.args["said"]] | {
            "name": name,
            "address": value("cluster_address"),
            "parts": parts,
            "claims": [],
            "taken": [],
            "release": facts["distribution_release"],
            "distribution": facts["distribution"],
            "architecture": facts["architecture"],
            "python_version": facts["python_version"],
            "takes_python": "celery_app" not in parts
            or takes_python(value("celery_app_source"), facts["python_version"]),
            "firewall": [
                UNSAID | port for port in value("host_firewall_ports") + optional("host_firewall_extra_ports", [])
            ]
            if optional("host_firewall", False)
            else None,
            "way_in": given[self._task.args["said"]]["way_in"] or None,
            "time_zone": optional("host_timezone", DEFAULT_ZONE),
        }
        host = typed(host_rules.Host, about, f"the kit on {name}")
        host.claims = host_rules.claims_of(given["kit_ports"], parts, value)
        host.taken = host_rules.services_of(given["kit_services"], parts, value)
        return host
