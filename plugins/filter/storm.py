"""Ansible's filters `storm`, which faults strike which hosts, and when, in a drill that goes on for minutes, and
`incomplete_copies`, whether the next ones may come."""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

# Seconds that a fault lasts, and those after it before the next ones.
SHORTEST, LONGEST = 5, 40
SHORTEST_PAUSE, LONGEST_PAUSE = 5, 20
# Two faults at once begin so many seconds apart at most.
APART = 10
# How often there are two.
SHARE_OF_PAIRS = 0.4
# A round with its repair and the look at every part takes longer than this, so the plan is never too short.
SHORTEST_ROUND_SECONDS = 15
# So many hosts of a group must there be, so that what is left of it goes on. Brokers need a majority.
LEAST = {"rabbitmq": 3}


def storm(
    faults: Mapping[str, Mapping[str, Any]], groups: Mapping[str, list[str]], seed: int, seconds: float
) -> list[dict[str, Any]]:
    """Return the rounds of a storm, each with `pause`, the seconds before it, and its `steps` in their order.

    A step has `name`, a key of `faults`; `victim`, a host; `heals`, whether the fault ends or begins; and `wait`, the
    seconds before it. Faults of one round are of different groups, so one host of each group is struck at most. The
    same arguments give the same storm.

    :param faults: each with `group`, that of the hosts which it may strike.
    :param groups: the hosts of each group. One with too few hosts is left out.
    :param seed: any number.
    :param seconds: how long it goes on; there are more rounds than fit into it.
    :raises ValueError: when no group has enough hosts.
    """
    chance = random.Random(seed)
    by_group: dict[str, list[str]] = {}
    for name, fault in sorted(faults.items()):
        if len(groups.get(fault["group"], [])) >= LEAST.get(fault["group"], 2):
            by_group.setdefault(fault["group"], []).append(name)
    if not by_group:
        raise ValueError("no group has enough hosts to lose one: a storm needs three brokers, or two of another kind")
    rounds = []
    for _ in range(int(seconds / SHORTEST_ROUND_SECONDS) + 1):
        pair = len(by_group) > 1 and chance.random() < SHARE_OF_PAIRS
        struck = chance.sample(sorted(by_group), 2 if pair else 1)
        moments = []
        for place, group in enumerate(struck):
            name, victim = chance.choice(by_group[group]), chance.choice(sorted(groups[group]))
            begins = chance.randint(0, APART) if place else 0
            ends = begins + chance.randint(SHORTEST, LONGEST)
            moments += [(begins, False, name, victim), (ends, True, name, victim)]
        rounds.append({"pause": chance.randint(SHORTEST_PAUSE, LONGEST_PAUSE), "steps": _steps(sorted(moments))})
    return rounds


def _steps(moments: list[tuple[int, bool, str, str]]) -> list[dict[str, Any]]:
    before = [0, *(moment for moment, *_ in moments)]
    return [
        {"wait": at - earlier, "heals": heals, "name": name, "victim": victim}
        for (at, heals, name, victim), earlier in zip(moments, before, strict=False)
    ]


def incomplete_copies(said: str) -> list[str]:
    """Return the names of the queues that have a copy which is not complete, of either type.

    :param said: what `rabbitmq-status` prints on a broker, which tells of the queues that it leads.
    """
    leads = json.loads(said).get("leads", [])
    return [queue["name"] for queue in leads if set(queue["mirrors"]) - set(queue["synchronised"])]


class FilterModule:
    """The filters, as Ansible asks for them."""

    def filters(self) -> dict[str, Callable]:
        return {"storm": storm, "incomplete_copies": incomplete_copies}
