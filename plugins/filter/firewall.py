"""Ansible's filters about the firewall: which ports are open on a host, and the rules of nftables for them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import collapse_addresses, ip_network
from pathlib import Path
from typing import Any

# Ansible sends module_utils to hosts, and does not find them for what runs on the control node.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from warren.host_rules import claims_of


def open_ports(
    ports: Iterable[dict], roles: list[str], variables: Mapping[str, Any], clients: Mapping[str, Iterable[str]]
) -> list[dict[str, Any]]:
    """Return what is open on a host, as the role host takes it.

    :param ports: `kit_ports` of inventory/kit/ports.yml.
    :param roles: the host's.
    :param variables: the values on the host of what `ports` mention.
    :param clients: the addresses and networks of each name that `kit_ports` has among its clients.
    """
    return [
        {
            "what": f"{claim.role}: {claim.what}",
            "protocol": "tcp",
            "port": claim.port,
            "clients": sorted({client for name in claim.clients for client in clients[name]}),
        }
        for claim in claims_of(ports, roles, variables.__getitem__)
        # Nobody else reaches what listens for its own host.
        if not claim.addresses or not all(address.startswith("127.") for address in claim.addresses)
    ]


def firewall_lines(ports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a chain of nftables that let the clients of open ports in.

    :param ports: each has `what`, which becomes a comment, `protocol`, `port` (none for `vrrp`),
        perhaps `last_port`, and `clients`.
    """
    return [line for port in ports for line in _lines(port)]


def _lines(port: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {port['what']}"
    # VRRP, which keepalived speaks in IPv4 here.
    protocol = port.get("protocol", "tcp")
    numbers = "-".join(str(port[key]) for key in ("port", "last_port") if port.get(key))
    match = "ip protocol 112" if protocol == "vrrp" else f"{protocol} dport {numbers}"
    for version, family in ((4, "ip"), (6, "ip6")):
        networks = [one for one in map(ip_network, port["clients"]) if one.version == version]
        # nftables wants no network of a set within another.
        apart = [str(one[0] if one.num_addresses == 1 else one) for one in collapse_addresses(networks)]
        if any(network.endswith("/0") for network in apart):
            yield f"meta nfproto ipv{version} {match} accept"
        elif apart:
            yield f"{family} saddr {{ {', '.join(apart)} }} {match} accept"


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"open_ports": open_ports, "firewall_lines": firewall_lines}
