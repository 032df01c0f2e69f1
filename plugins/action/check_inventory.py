"""Ansible's action plugin check_inventory: everything that is wrong with an inventory, in one task."""

import contextlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren import inventory_rules
from warren.checks import Complaints, Right, check_role, not_evaluated, shown
from warren.host_rules import Claim, claims_of
from warren.host_variables import HostVariables
from warren.inputs import KIT, known_groups, known_inputs, misplaced, unknown_inputs, unread_files
from warren.inventory_rules import Inventory, few
from warren.roles import kinds_of, options_of
from warren.rules import names_in
from warren.secrets import secret_problems

DOCUMENTATION = """
module: check_inventory
short_description: Check the whole inventory, and say everything that is wrong
description:
  - Checks the names of groups and inputs; the facts of the cluster by C(inventory/kit/inputs.yml) and by the rules of
    C(module_utils/warren/inventory_rules.py); the inputs of each role of each host by C(meta/argument_specs.yml), and
    by the kinds and the rules in its C(vars/rules.yml).
  - What is derived from a wrong input is not judged, as that would be a second sentence for one mistake.
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

THRESHOLD = "cluster_threshold_"
# The groups whose hosts need the same of a secret. Others are used by one host alone.
SHARED_SECRETS = {
    "secret_erlang_cookie": ["rabbitmq"],
    "secret_rabbitmq_worker": ["rabbitmq", "celery_workers"],
    "secret_rabbitmq_publisher": ["rabbitmq", "celery"],
    "secret_rabbitmq_beat": ["rabbitmq", "celery_beat"],
    "secret_rabbitmq_flower": ["rabbitmq", "monitoring"],
    "secret_database": ["postgresql", "celery"],
    "secret_database_owner": ["postgresql", "celery"],
    "secret_django_key": ["celery"],
    "secret_keepalived": ["haproxy"],
    "secret_redis_results": ["redis", "celery"],
    "secret_redis_locks": ["redis", "celery"],
    "secret_redis_schedule": ["redis", "celery"],
    # Each Prometheus tells all Alertmanagers.
    "secret_prometheus": ["monitoring"],
}
WIRING = KIT / "inventory/kit/wiring.yml"


class Host(HostVariables):
    """A host, and what is wrong with its inputs."""

    secrets: dict[str, Any]

    def secret(self, name: str) -> Any:
        """Return the value of a secret, or why it cannot be evaluated."""
        try:
            return self.value(name)
        except AnsibleError as error:
            return error

    def claims(self) -> list[Claim]:
        """Return the ports that the host's roles claim, without those that cannot be evaluated."""
        found: list[Claim] = []
        for port in self.given["kit_ports"]:
            # What is wrong with an input has been said.
            with contextlib.suppress(AnsibleError, ValueError, TypeError, OverflowError):
                found += claims_of([port], self.roles, self.value)
        return found

    def check_fed(self, wiring: Mapping[str, Any], specs: Mapping[str, Mapping], said: Complaints) -> None:
        """Say which inputs of the host's roles have another value than what follows from a fact of the cluster.

        :param wiring: the variables of inventory/kit/wiring.yml, as they are written.
        """
        for fact, name in ((fact, spec["feeds"]) for fact, spec in specs.items() if "feeds" in spec):
            if self.given.get(name) == wiring[name] or fact in said.wrong_on(self.name):
                continue
            # What cannot be evaluated is said of the role.
            with contextlib.suppress(AnsibleError):
                value = self.value(name)
                of_a_part = any(name.startswith(f"{role}_") for role in self.roles)
                if of_a_part and value != self._templar.template(wiring[name]):
                    text = f"is {shown(value)}, but other parts read `{fact}`: set that, and take this out."
                    said.about(self.name, name, f"`{name}`", text)

    def check_roles(self, loader: DataLoader, said: Complaints, known: Right) -> None:
        """Say what is wrong with the inputs of the host's roles."""
        try:
            roles = self.roles
        except AnsibleError as error:
            # What they depend on has been said.
            if not said:
                said.about(self.name, "kit_parts", "`kit_parts`", not_evaluated("kit_parts", error))
            return
        for role in roles:
            check_role(role, self.name, self.given, loader, self.templar_for, said, known)


class ActionModule(ActionBase):
    """The action plugin."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict:
        """Check the inventory; fails with a sentence for each thing that is wrong."""
        result = super().run(tmp, task_vars)
        hosts = [Host(name, task_vars, self._templar.copy_with_new_env) for name in self._task.args["hosts"]]
        said = Complaints([host.name for host in hosts])
        self._check_names(hosts, task_vars, said)
        self._check_secrets(hosts, task_vars, said)
        self._check_facts(hosts, task_vars, said)
        wiring = self._loader.load_from_file(str(WIRING), trusted_as_template=True)["all"]["vars"]
        for host in hosts:
            host.check_fed(wiring, task_vars["kit_inputs"], said)
        known: Right = {}
        for host in hosts:
            host.check_roles(self._loader, said, known)
        sentences = said.sentences()
        return result | ({"failed": True, "msg": "\n".join(sentences)} if sentences else {"changed": False})

    def _check_names(self, hosts: list[Host], task_vars: dict[str, Any], said: Complaints) -> None:
        """Say which inputs the kit does not know, and what nobody reads."""
        known = [part["role"] for part in task_vars["kit_parts"]]
        variables = {host.name: host.given for host in hosts}
        groups = {*known_groups(), *task_vars["groups"]}
        sources = task_vars["ansible_inventory_sources"]
        for sentence in [
            *misplaced(variables),
            *unread_files(sources, groups, lambda name: inventory_rules.meant_group(name, list(known_groups()))),
        ]:
            said.say(sentence)
        foreign = hosts[0].given.get("cluster_foreign_variables")
        # Whoever gives one name as a text is told so below.
        foreign = foreign if isinstance(foreign, list) else [str(foreign)]
        if unknown := unknown_inputs(variables, known, foreign):
            said.say(
                f"The kit knows no input of this name: {'; '.join(unknown)}. Correct it in the inventory, its "
                "group_vars or after -e; "
                "if it is for something else, list it in `cluster_foreign_variables`."
            )

    def _check_secrets(self, hosts: list[Host], task_vars: dict[str, Any], said: Complaints) -> None:
        """Say what is wrong with the secrets, which are the same for all hosts that use one."""
        names = sorted(name for name in known_inputs([]) if name.startswith("secret_"))
        # Hosts with the same as another are not looked at again.
        written: dict[tuple, dict[str, Any]] = {}
        for host in hosts:
            found = written.setdefault(tuple(id(host.given.get(name)) for name in names), {})
            if not found:
                found |= {name: host.secret(name) for name in names if name in host.given}
                for sentence in secret_problems(found):
                    said.say(sentence, re.findall(r"\bsecret_\w+", sentence))
            host.secrets = found
        for name, groups in SHARED_SECRETS.items():
            users = {host for group in groups for host in task_vars["groups"].get(group, [])}
            values: dict[Any, list[str]] = {}
            for host in hosts:
                value = host.secrets.get(name)
                if host.name in users and isinstance(value, str) and name not in said.wrong:
                    values.setdefault(str(value), []).append(host.name)
            if len(values) > 1:
                fewest = few(min(values.values(), key=len))
                said.say(
                    f"`{name}` of {fewest} is not that of other hosts, which need the same: set it once, in "
                    "group_vars/all, and nowhere else.",
                    [name],
                )

    def _check_facts(self, hosts: list[Host], task_vars: dict[str, Any], said: Complaints) -> None:
        """Say what is wrong with the facts of the cluster: each by itself, and then together."""
        specs = task_vars["kit_inputs"]
        thresholds = [name for name in hosts[0].given if name.startswith(THRESHOLD)]
        values: dict[str, dict[str, Any]] = {}
        # A value without names is the same wherever it is the same object.
        constant: dict[tuple[str, int], Any] = {}
        for host in hosts:
            found = values.setdefault(host.name, {})
            failed: dict[str, AnsibleError] = {}
            wrong: set[str] = set()
            for name in [*specs, *thresholds]:
                spec, raw = specs.get(name, {"type": "raw"}), host.given.get(name)
                key = (name, id(raw))
                if key in constant:
                    found[name] = constant[key]
                    continue
                # Facts stand after those that they follow from.
                if not wrong.isdisjoint(names_in(raw)):
                    wrong.add(name)
                    continue
                try:
                    value = host.value(name)
                except AnsibleError as error:
                    failed[name] = error
                    continue
                if self._fact_is_right(host, name, value, spec, said):
                    found[name] = value
                    if not names_in(raw) and isinstance(raw, int | float | str | list | dict):
                        constant[key] = value
                else:
                    wrong.add(name)
            # Another one may be why one fails.
            first = [name for name in failed if names_in(host.given.get(name)).isdisjoint(failed.keys() - {name})]
            for name, error in failed.items():
                # Where they follow from each other, one of them is said.
                if name in (first or list(failed)[:1]):
                    said.about(host.name, name, f"`{name}`", not_evaluated(name, error))
                else:
                    said.wrong.add(name)
        # What is derived from the fact of another host is not judged, either.
        for host in hosts:
            said.wrong |= said.wrong_on(host.name)
        if "cluster_address" in said.wrong:
            # The filter that looks up the addresses of hosts.
            said.wrong.add("addresses")
        groups = task_vars["groups"]
        inventory = Inventory(
            groups=groups,
            kit_groups=list(known_groups()),
            parts=task_vars["kit_parts"],
            values=values,
            of_each_host=[name for name, spec in specs.items() if spec.get("per_host")],
            sources=task_vars["ansible_inventory_sources"],
            names=thresholds,
            claims={host.name: host.claims() for host in hosts},
        )
        for problem in inventory_rules.problems(inventory):
            said.say(problem.text, problem.names)

    def _fact_is_right(self, host: Host, name: str, value: Any, spec: dict, said: Complaints) -> bool:
        """Say what is wrong with the value of a fact; returns whether it is right."""
        if "like" in spec:
            kinds, spec = kinds_of(spec["role"], spec["like"]), options_of(spec["role"])[spec["like"]]
        else:
            kinds = spec.get("kinds", {}) | ({"": spec["kind"]} if "kind" in spec else {})
        subject, more = "", ""
        if name == "cluster_address" and "ansible_host" in names_in(host.given[name]):
            subject, more = "`ansible_host`", ", or set `cluster_address` to it where Ansible gets in by another way"
        if said.wrong_value(host.name, name, value, spec, kinds, subject, more):
            return False
        options = {key: spec[key] for key in ("type", "elements", "options", "choices") if key in spec}
        return not said.unfit(host.name, {name: value}, {name: options}, name)
