"""Ansible's filters `of_type`, `delayed_delivery` and `after_delays`: what the brokers have for task queues of a type.

kombu's native_delayed_delivery declares the same for delays, but only when the first worker starts, and with a binding
for each queue that also takes tasks of every other queue whose name ends in a dot and its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Bits of a delay, and so the number of queues; a task waits in those of its bits, 2 ** level seconds in each.
LEVELS = 28
NAME = "celery_delayed_{}".format
DELIVERY = "celery_delayed_delivery"


def of_type(queues: Iterable[Mapping[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return queues, as the role `rabbitmq` takes them, with the argument that makes them of a type.

    :param kind: `quorum`, or `mirrored`, which is a classic queue with a policy.
    """
    arguments = {"arguments": {"x-queue-type": "quorum"}} if kind == "quorum" else {}
    return [{**queue, **arguments} for queue in queues]


def delayed_delivery(exchange: str) -> dict[str, list[dict[str, Any]]]:
    """Return the `queues` and `exchanges` in which tasks wait for their time, as the role `rabbitmq` takes them.

    A routing key begins with the delay in seconds, a word for each bit.

    :param exchange: the one of all tasks, to which they go from there.
    """
    queues, exchanges = [], []
    for level in range(LEVELS):
        after = NAME(level - 1) if level else DELIVERY
        before = "*." * (LEVELS - 1 - level)
        waiting = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-message-ttl": 2**level * 1000,
            "x-dead-letter-exchange": after,
            "x-dead-letter-strategy": "at-least-once",
        }
        queues.append({"name": NAME(level), "arguments": waiting})
        bindings = [
            {"to": NAME(level), "kind": "queue", "key": f"{before}1.#"},
            {"to": after, "kind": "exchange", "key": f"{before}0.#"},
        ]
        exchanges.append({"name": NAME(level), "type": "topic", "bindings": bindings})
    exchanges.append(
        {"name": DELIVERY, "type": "topic", "bindings": [{"to": exchange, "kind": "exchange", "key": "#"}]}
    )
    return {"queues": queues, "exchanges": exchanges}


def after_delays(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the bindings of the exchange of all tasks by which these queues get those that have waited."""
    return [{"to": name, "kind": "queue", "key": "*." * LEVELS + name} for name in names]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"of_type": of_type, "delayed_delivery": delayed_delivery, "after_delays": after_delays}
