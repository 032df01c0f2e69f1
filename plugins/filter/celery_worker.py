"""Ansible's filter `celery_worker_commands`: the command line of each worker program."""

from collections.abc import Callable, Mapping, Sequence


def celery_worker_commands(
    programs: Sequence[Mapping],
    celery: Sequence[str],
    host: str,
    *,
    log_level: str,
    task_events: bool,
    without_heartbeat: bool,
    without_gossip: bool,
    without_mingle: bool,
    state_dir: str,
) -> list[dict]:
    """Return the `name` and the `command`, a list of words, of each worker program.

    :param programs: as the inputs of the role celery_worker describe them.
    :param celery: the words that run `celery` for the project, such as `[RUN, "celery", "-A", "shop"]`.
    :param host: what stands behind the `@` in the nodes' names.
    :param state_dir: the folder of the programs' state files; empty for none.
    """
    of_all = [
        f"--loglevel={log_level}",
        *(["-E"] if task_events else []),
        *(["--without-heartbeat"] if without_heartbeat else []),
        *(["--without-gossip"] if without_gossip else []),
        *(["--without-mingle"] if without_mingle else []),
    ]
    return [
        {"name": program["name"], "command": [*celery, "worker", *_of_one(program, host, state_dir, of_all)]}
        for program in programs
    ]


def _of_one(program: Mapping, host: str, state_dir: str, of_all: list[str]) -> list[str]:
    pool, scale = program.get("pool", "prefork"), program.get("autoscale")
    values = {
        # Solo does one task at a time, and would fetch one for each core of the host.
        "concurrency": 1 if pool == "solo" else program.get("concurrency"),
        "autoscale": scale and f"{scale['max']},{scale['min']}",
        "max-tasks-per-child": program.get("max_tasks_per_child"),
        "max-memory-per-child": program.get("max_memory_per_child_kib"),
        "statedb": f"{state_dir}/{program['name']}" if state_dir else None,
    }
    return [
        f"--hostname={program['name']}@{host}",
        f"--queues={','.join(program['queues'])}",
        f"--pool={pool}",
        *(f"--{option}={value}" for option, value in values.items() if value is not None),
        *of_all,
        *map(str, program.get("extra_arguments", [])),
        # Else Celery, once it has reconnected, prefetches for the present size only, and the pool never grows again.
        *(["worker.enable_prefetch_count_reduction=false"] if scale else []),
    ]


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"celery_worker_commands": celery_worker_commands}
