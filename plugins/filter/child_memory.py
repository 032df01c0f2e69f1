"""Ansible's filter `limits_below`: limits of memory that are below what a pool process needs."""

import math
from collections.abc import Callable, Mapping, Sequence

# A tenth for what a task takes: with less, nearly every task would be a process's last one.
ROOM = 1.1
MIB = 1024


def limits_below(programs: Sequence[Mapping], limit_kib: int, child_kib: int | None) -> list[str]:
    """Return a sentence for each limit below what a process of the pool prefork has before its first task.

    :param programs: as the inputs of the role celery_worker describe them.
    :param limit_kib: of programs that have none of their own; 0 is no limit.
    :param child_kib: what such a process has; None where that is not known.
    """
    needed = math.ceil((child_kib or 0) * ROOM / MIB) * MIB
    prefork = [program for program in programs if program.get("pool", "prefork") == "prefork"]
    own = {one["name"]: one["max_memory_per_child_kib"] for one in prefork if "max_memory_per_child_kib" in one}
    shared = [program["name"] for program in prefork if program["name"] not in own]
    said = [
        f"The worker program {name} allows {limit} KiB: set its `max_memory_per_child_kib` to {needed} or more, or 0."
        for name, limit in own.items()
        if 0 < int(limit) < needed
    ]
    if shared and 0 < int(limit_kib) < needed:
        advice = f"set `celery_app_max_memory_per_child_kib` to {needed} or more, or 0 for no limit."
        said.append(f"The project allows {limit_kib} KiB, for {', '.join(shared)}: {advice}")
    return said


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"limits_below": limits_below}
