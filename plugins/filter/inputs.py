"""Ansible's filter `unknown_inputs`: which variables look like the kit's and are not, as a mistyped name would."""

import difflib
from collections.abc import Callable, Collection, Mapping


def unknown_inputs(hostvars: Mapping[str, Mapping], prefixes: Collection[str], known: Collection[str]) -> list[str]:
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


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"unknown_inputs": unknown_inputs}
