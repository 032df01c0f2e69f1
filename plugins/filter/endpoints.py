"""Ansible's filters about hosts of a group, such as `host_values`, `any_host`, `addresses` and `targets`.

They read the inventory only, never gathered facts, so that `--limit` works. Of each host only the variable in question
is looked at, as every look templates it.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

Groups = Mapping[str, list[str]]
Hostvars = Mapping[str, Mapping[str, Any]]


def host_values(groups: Groups, group: str, hostvars: Hostvars, variable: str) -> list:
    """Return the value that a variable has on each host of a group; none where there is no such group.

    Raises AnsibleFilterError for a host that does not have the variable.
    """
    return list(_values(groups, group, hostvars, variable).values())


def addresses(groups: Groups, group: str, hostvars: Hostvars) -> dict[str, str]:
    """Return the address of each host of a group, by the host's name; none where there is no such group.

    Raises AnsibleFilterError for a host that has no address.
    """
    return _values(groups, group, hostvars, "cluster_address")


def endpoints(addresses: Iterable[str], port: int | str) -> list[str]:
    """Return ADDRESS:PORT for each address."""
    return [f"{address}:{port}" for address in addresses]


def targets(addresses: Mapping[str, str], port: int | str) -> dict[str, str]:
    """Return ADDRESS:PORT for each host's address, by the host's name, as the role `prometheus` takes them."""
    return dict(zip(addresses, endpoints(addresses.values(), port), strict=True))


def any_host(groups: Groups, group: str, hostvars: Hostvars, variable: str) -> bool:
    """Return whether a variable is true on a host of a group."""
    return _once(
        hostvars,
        "any_host",
        (group, variable),
        lambda: any(boolean(value, strict=False) for value in _values(groups, group, hostvars, variable).values()),
    )


def pools(groups: Groups, group: str, hostvars: Hostvars, variable: str) -> list[str]:
    """Return the pools, each once, of all programs that a variable lists on the hosts of a group."""

    def find() -> list[str]:
        programs = [program for listed in _values(groups, group, hostvars, variable).values() for program in listed]
        return list(dict.fromkeys(str(program.get("pool", "prefork")) for program in programs))

    return _once(hostvars, "pools", (group, variable), find)


def worker_nodes(groups: Groups, group: str, hostvars: Hostvars, variable: str) -> list[str]:
    """Return the names that Celery has for the programs that a variable lists on the hosts of a group: PROGRAM@HOST."""
    listed = _values(groups, group, hostvars, variable).items()
    return [f"{program['name']}@{host}" for host, programs in listed for program in programs]


# What a process of Ansible's has found. It does one task, in which nothing changes. Without it, 300 hosts that each
# need a value of all others would look at 90,000.
_found: dict[tuple, Any] = {}


def _once(hostvars: Hostvars, name: str, about: tuple, find: Callable[[], Any]) -> Any:
    # Ansible's main process, and a test's, do more than one task.
    if multiprocessing.parent_process() is None:
        return find()
    key = (id(hostvars), name, about)
    if key not in _found:
        _found[key] = find()
    return _found[key]


def _values(groups: Groups, group: str, hostvars: Hostvars, variable: str) -> dict[str, Any]:
    try:
        return {
            host: _once(hostvars, "value", (host, variable), lambda host=host: hostvars[host][variable])
            for host in groups.get(group, [])
        }
    except KeyError as error:
        hosts = ", ".join(host for host in groups[group] if variable not in hostvars[host])
        raise AnsibleFilterError(f"Set `{variable}` of {hosts} in the inventory.") from error


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {
            "host_values": host_values,
            "any_host": any_host,
            "pools": pools,
            "worker_nodes": worker_nodes,
            "addresses": addresses,
            "endpoints": endpoints,
            "targets": targets,
        }
