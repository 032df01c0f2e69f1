"""Ansible's filters `changed_queues` and `abandoned_queues`: what a deployment would do to queues that exist."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def changed_queues(said: Iterable[Mapping[str, Any]], queues: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each queue that exists with another `max_priority`; RabbitMQ cannot change it.

    :param said: what the module ask_parts returned of each broker; one that does not run counts for nothing.
    :param queues: what clients declare, each with `name` and perhaps `max_priority`.
    """
    now = {queue["name"]: queue["max_priority"] for broker in _running(said) for queue in broker["leads"]}
    return [
        f"the queue {queue['name']} has `max_priority: {now[queue['name']]}` and would need {wanted}"
        for queue in queues
        if queue["name"] in now and now[queue["name"]] != (wanted := queue.get("max_priority") or 0)
    ]


def abandoned_queues(said: Iterable[Mapping[str, Any]], policies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return `NUMBER in NAME` for each queue with tasks that the present policies cover and the wanted ones do not.

    The inventory had such a queue. One that no policy covers is somebody else's.

    :param said: as above.
    :param policies: the wanted ones, each with a `pattern`.
    """
    brokers = list(_running(said))
    covered = {policy["pattern"] for broker in brokers for policy in broker["policies"]}
    wanted = [policy["pattern"] for policy in policies]
    tasks = {
        # A queue whose process has ended has no counts.
        queue["name"]: (queue["ready"] or 0) + (queue["unacknowledged"] or 0)
        for broker in brokers
        for queue in broker["leads"]
    }
    return [
        f"{count} in {name}"
        for name, count in sorted(tasks.items())
        if count and _matches(covered, name) and not _matches(wanted, name)
    ]


def _running(said: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in said:
        answer = one.get("answers", {}).get("rabbitmq", {})
        found = json.loads(answer["stdout"]) if answer.get("rc") == 0 else {}
        if found.get("state") == "running":
            yield found


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"changed_queues": changed_queues, "abandoned_queues": abandoned_queues}
