"""Ansible's filter `unknown_inputs`: which variables look like the kit's and are not, as a mistyped name would."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import yaml

KIT = Path(__file__).resolve().parents[2]
# What roles observe, and leave to others in the same run.
OBSERVED = ["celery_app_release", "celery_app_fingerprint", "celery_app_goes_back", "celery_app_measured"]
# Roles that have their inputs from other roles, and none from an inventory.
CALLED_ROLES = ["supervisor_program"]


def known_inputs(roles: Collection[str]) -> Iterator[str]:
    """Name everything that the kit reads: the options of these roles, and the variables of inventory/kit/."""
    for role in roles:
        spec = yaml.safe_load((KIT / "roles" / role / "meta/argument_specs.yml").read_text())
        yield from spec["argument_specs"]["main"]["options"]
    for file in (KIT / "inventory/kit").glob("*.yml"):
        yield from yaml.safe_load(file.read_text())["all"].get("vars", {})
    yield from OBSERVED


def unknown_variables(hostvars: Mapping[str, Mapping], prefixes: Collection[str], known: Collection[str]) -> list[str]:
    """Name each variable of a host that begins with one of the prefixes and is not known.

    Returns texts such as "`celery_worker_logg_level` of w1, w2 (is it `celery_worker_log_level`?)". Only names are
    looked at, never values.
    """
    hosts_of: dict[str, list[str]] = {}
    for host, variables in hostvars.items():
        for name in variables:
            if name.startswith(tuple(f"{prefix}_" for prefix in prefixes)) and name not in known:
                hosts_of.setdefault(name, []).append(host)
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
    known = [*known_inputs(roles), *foreign]
    return unknown_variables(hostvars, ["cluster", "secret", "kit", *CALLED_ROLES, *roles], known)


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"unknown_inputs": unknown_inputs}
