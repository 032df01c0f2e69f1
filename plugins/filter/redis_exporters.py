"""Ansible's filters `redis_exporters` and `redis_targets`: the exporter of each instance of Redis.

Each listens on a port of its own, from a first one upwards in the order of the instances.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Instances = Sequence[Mapping[str, Any]]


def redis_exporters(
    instances: Instances, address: str, first_port: int | str, password: str, authority: str = ""
) -> list[dict[str, Any]]:
    """Return the exporters of the instances at an address, as the role `exporter` takes them.

    :param password: of Redis' user `monitor`. It is in a file, as arguments can be read by every user of the host.
        The file has it under the URL of the instance, and the exporter sends it to no other. Debian 12's exporter looks
        for the URL without the user, Debian 13's for the one with the user.
    :param authority: file with the certificate of the authority that the exporter trusts, or an empty text without TLS.
    """
    exporters = []
    for instance, endpoint in zip(instances, _endpoints(instances, address, first_port), strict=True):
        service = f"redis-{instance['name']}"
        scheme, place = "rediss" if authority else "redis", f"{address}:{instance['port']}"
        exporters.append(
            {
                "name": service,
                "package": "redis",
                "address": endpoint,
                "arguments": [
                    f"--redis.addr={scheme}://{place}",
                    "--redis.user=monitor",
                    "--config-command=-",
                    f"--redis.password-file=/etc/default/prometheus-{service}-exporter.json",
                    *([f"--tls-ca-cert-file={authority}"] if authority else []),
                ],
                "passwords": {f"{scheme}://{place}": password, f"{scheme}://monitor@{place}": password},
            }
        )
    return exporters


def redis_targets(addresses: Mapping[str, str], instances: Instances, first_port: int | str) -> dict[str, str]:
    """Return ADDRESS:PORT of each instance's exporter, under names such as `mon1 locks`.

    :param addresses: that of each host with Redis, by the host's name.
    """
    return {
        f"{host} {instance['name']}": endpoint
        for host, address in addresses.items()
        for instance, endpoint in zip(instances, _endpoints(instances, address, first_port), strict=True)
    }


def _endpoints(instances: Instances, address: str, first_port: int | str) -> list[str]:
    return [f"{address}:{int(first_port) + place}" for place in range(len(instances))]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"redis_exporters": redis_exporters, "redis_targets": redis_targets}
