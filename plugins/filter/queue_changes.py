"""Ansible's filters `changed_queues` and `abandoned_queues`: what a deployment would do to queues that exist."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def changed_queues(definitions: Mapping[str, Any], vhost: str, queues: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each queue that exists with another `max_priority`; RabbitMQ cannot change it.

    :param definitions: as `rabbitmqctl export_definitions` prints them.
    :param vhost: the queues' virtual host.
    :param queues: what clients declare, each with `name` and perhaps `max_priority`.
    """
    now = {queue["name"]: queue["arguments"].get("x-max-priority", 0) for queue in _queues(definitions, vhost)}
    return [
        f"the queue {queue['name']} has `max_priority: {now[queue['name']]}` and would need {wanted}"
        for queue in queues
        if queue["name"] in now and now[queue["name"]] != (wanted := queue.get("max_priority") or 0)
    ]


def abandoned_queues(definitions: Mapping[str, Any], vhost: str, policies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the queues that the present policies cover and the wanted ones do not: the inventory had them."""
    covered = [policy["pattern"] for policy in definitions["policies"] if policy["vhost"] == vhost]
    wanted = [policy["pattern"] for policy in policies]
    names = [queue["name"] for queue in _queues(definitions, vhost)]
    return [name for name in names if _matches(covered, name) and not _matches(wanted, name)]


def _queues(definitions: Mapping[str, Any], vhost: str) -> list[Mapping[str, Any]]:
    return [queue for queue in definitions.get("queues", []) if queue["vhost"] == vhost]


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"changed_queues": changed_queues, "abandoned_queues": abandoned_queues}
