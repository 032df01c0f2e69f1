"""Which variables look like inputs of the kit and are none, as a mistyped name would."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from .roles import load_yaml

KIT = Path(__file__).resolve().parents[3]
# What roles observe, and leave to others in the same run.
OBSERVED = ["celery_app_release", "celery_app_fingerprint", "celery_app_goes_back", "celery_app_measured"]
# Roles that have their inputs from other roles, and none from an inventory.
CALLED_ROLES = ["supervisor_program"]
# Variables that begin like nothing of the kit's are somebody else's, except those that are as near to one as this.
NEAR = 0.9


def known_inputs(roles: Collection[str]) -> Iterator[str]:
    """Name everything that the kit reads: the options of these roles, and the variables of inventory/kit/."""
    for role in roles:
        spec = load_yaml(KIT / "roles" / role / "meta/argument_specs.yml")
        yield from spec["argument_specs"]["main"]["options"]
    for file in (KIT / "inventory/kit").glob("*.yml"):
        yield from load_yaml(file)["all"].get("vars", {})
    yield from OBSERVED


def known_groups() -> Iterator[str]:
    """Name the groups of inventory/kit/groups.yml, and Ansible's own."""
    yield from ("all", "ungrouped")
    yield from _below(load_yaml(KIT / "inventory/kit/groups.yml")["all"])


def _below(group: Mapping | None) -> Iterator[str]:
    for name, child in ((group or {}).get("children") or {}).items():
        yield name
        yield from _below(child)


def unknown_variables(hostvars: Mapping[str, Mapping], prefixes: Collection[str], known: Collection[str]) -> list[str]:
    """Name each variable of a host that is not known and begins with one of the prefixes, or almost like one.

    Returns texts such as "`celery_worker_logg_level` of w1, w2 (is it `celery_worker_log_level`?)". Only names are
    looked at, never values.
    """
    hosts_of: dict[str, list[str]] = {}
    for host, variables in hostvars.items():
        for name in variables.keys() - known:
            hosts_of.setdefault(name, []).append(host)
    begins = tuple(f"{prefix}_" for prefix in prefixes)
    hosts_of = {
        name: hosts
        for name, hosts in hosts_of.items()
        if name.startswith(begins)
        or (not name.startswith("ansible_") and difflib.get_close_matches(name, known, 1, NEAR))
    }
    found = []
    for name, hosts in sorted(hosts_of.items()):
        where = "all hosts" if len(hosts) == len(hostvars) else ", ".join(hosts)
        nearest = difflib.get_close_matches(name, known, n=1)
        found.append(f"`{name}` of {where}" + (f" (is it `{nearest[0]}`?)" if nearest else ""))
    return found


def unknown_inputs(hostvars: Mapping[str, Mapping], roles: Collection[str], foreign: Collection[str]) -> list[str]:
    """Name each variable of a host that begins as an input of these roles or of the kit does, and that nobody reads.

    :param foreign: names of the operator's own that begin alike.
    """
    known = {*known_inputs(roles), *foreign}
    return unknown_variables(hostvars, ["cluster", "secret", "kit", "wiring", *CALLED_ROLES, *roles], known)
