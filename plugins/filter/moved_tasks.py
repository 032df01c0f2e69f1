"""Ansible's filters about tasks that move from one virtual host to another.

They are `shovels`, `other_shovels`, `left_behind` and `homeless`.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

COMPONENT = "shovel"
# So many messages of a queue are on their way at most. Those whose confirm a broker that dies takes with it go twice.
ON_THE_WAY = 100
# Celery's, in which tasks wait for their time, and which no client may empty.
DELAYS = "celery_delayed_"


def shovels(
    has: Mapping[str, Any], source: str, target: str, exchanges: Iterable[Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the definitions of the shovels that a cluster lacks to move all tasks; an empty dictionary for none.

    A shovel takes each message to the exchange that the queue is bound to, and acknowledges it once the broker has
    confirmed it there. See https://www.rabbitmq.com/docs/shovel-dynamic.

    :param has: the exported definitions of the cluster.
    :param source: the virtual host that the messages are in; nothing is lacking where there is none.
    :param target: the one that they go to.
    :param exchanges: each with `name` and the `queues` that it is bound to, by their names.
    """
    there = {queue["name"] for queue in has["queues"] if queue["vhost"] == source}
    known = {one["name"]: one["value"] for one in _shovels_in(has, target)}
    wanted = {
        f"move-{queue}": {
            "src-protocol": "amqp091",
            "src-uri": _address(source),
            "src-queue": queue,
            "src-prefetch-count": ON_THE_WAY,
            "dest-protocol": "amqp091",
            "dest-uri": _address(target),
            "dest-exchange": exchange["name"],
            "dest-exchange-key": queue,
            "ack-mode": "on-confirm",
            "reconnect-delay": 1,
        }
        for exchange in exchanges
        for queue in exchange.get("queues", [])
        if queue in there
    }
    lacking = [
        {"vhost": target, "component": COMPONENT, "name": name, "value": value}
        for name, value in wanted.items()
        if known.get(name) != value
    ]
    return {"parameters": lacking} if lacking else {}


def _address(vhost: str) -> str:
    """Return the address at which a broker itself reaches a virtual host, without a login."""
    return f"amqp:///{quote(vhost, safe='')}"


def other_shovels(has: Mapping[str, Any], vhost: str) -> list[str]:
    """Return the names of the shovels that a virtual host has, so that somebody removes them.

    :param has: the exported definitions of the cluster.
    """
    return [one["name"] for one in _shovels_in(has, vhost)]


def _shovels_in(has: Mapping[str, Any], vhost: str) -> list[Mapping[str, Any]]:
    return [one for one in has["parameters"] if (one["component"], one["vhost"]) == (COMPONENT, vhost)]


def left_behind(said: str, vhost: str) -> list[str]:
    """Return what is left in a virtual host, such as `3 tasks in mail`, and who is connected to it.

    Queues that do not outlive a broker hold events, commands and answers, which nobody waits for any more.

    :param said: JSON with `queues`, each with `name`, `durable` and `messages`, and all `connections`, each with
        `vhost`, `user` and `peer_host`.
    """
    found = json.loads(said)
    tasks = [f"{_counted(number, 'task')} in {name}" for name, number in sorted(_tasks(found).items())]
    delayed = sum(queue["messages"] or 0 for queue in found["queues"] if queue["name"].startswith(DELAYS))
    waiting = [f"{_counted(delayed, 'task')} before their time"] if delayed else []
    clients = Counter(f"{one['user']} by {one['peer_host']}" for one in found["connections"] if one["vhost"] == vhost)
    connected = [f"{_counted(number, 'connection')} of {who}" for who, number in sorted(clients.items())]
    return [*tasks, *waiting, *connected]


def homeless(said: str, exchanges: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a text such as `3 tasks in mail` for each queue that no shovel would empty.

    :param said: as above.
    :param exchanges: of the virtual host that tasks move to, as for `shovels`.
    """
    known = {queue for exchange in exchanges for queue in exchange.get("queues", [])}
    tasks = _tasks(json.loads(said))
    return [f"{_counted(number, 'task')} in {name}" for name, number in sorted(tasks.items()) if name not in known]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _tasks(found: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of messages in each queue that has some, without those that wait for their time."""
    queues = [queue for queue in found["queues"] if queue["durable"] and not queue["name"].startswith(DELAYS)]
    return {queue["name"]: queue["messages"] for queue in queues if queue["messages"]}


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"shovels": shovels, "other_shovels": other_shovels, "left_behind": left_behind, "homeless": homeless}
