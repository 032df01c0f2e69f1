"""Ansible's filters `mirroring` and `bounded_queue_policies`: what a policy of RabbitMQ says of task queues."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def mirroring(nodes: int | str) -> dict[str, Any]:
    """Return the definition that keeps a queue on so many nodes, or on `all`."""
    how = {"ha-mode": "all"} if nodes == "all" else {"ha-mode": "exactly", "ha-params": int(nodes)}
    return {"ha-sync-mode": "automatic", **how}


def bounded_queue_policies(
    queues: Iterable[Mapping[str, Any]], definition: Mapping[str, Any], name: str
) -> list[dict[str, Any]]:
    """Return a policy for each queue that has `max_length`, in messages, as the role `rabbitmq` takes them.

    :param definition: what the policy of all task queues says; `name`, its name.

    A queue has one policy, so this one has the definition of all task queues as well. It comes before theirs, whose
    priority is 10. What is too much is refused, not dropped.
    """
    return [
        {
            "name": f"{name}-{queue['name']}",
            "pattern": f"^{re.escape(queue['name'])}$",
            "priority": 20,
            "definition": {**definition, "max-length": queue["max_length"], "overflow": "reject-publish"},
        }
        for queue in queues
        if "max_length" in queue
    ]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"mirroring": mirroring, "bounded_queue_policies": bounded_queue_policies}
