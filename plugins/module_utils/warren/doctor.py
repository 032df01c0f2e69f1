"""The doctor of playbooks/verify.yml: each piece of advice that the kit exists for, as a check of the running cluster.

The JSON is described in docs/formats.md; model.py says what the facts are.
"""

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from warren.model import (
    BOLD,
    DELAY_QUEUE,
    GREEN,
    PARKED,
    RED,
    YELLOW,
    Cluster,
    Keys,
    Program,
    harmless,
    iso_time,
    paint,
    shown,
    size,
    worker_programs,
)
from warren.screen import sections

# What the kit and Celery make for themselves: `wiring_own_names` of inventory/kit/wiring.yml.
OWN_QUEUE = re.compile(r"celeryev(\..*)?|.*celery\.pidbox|warren-(smoke\..*|restart|tasks|unrouted|parked|parking)")
REPLY_QUEUE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A client chose it, so whoever types it looks at it first.
NAMED = "with the name above in single quotes instead of"


@dataclass
class Finding:
    """What a check has found: a short measured value, sentences of what is wrong and of what is not known, and what to
    type where something is wrong. Names that a client chose are in the sentences only, and in no command."""

    name: str
    measured: str
    wrong: list[str]
    unknown: list[str]
    repair: str

    @property
    def verdict(self) -> str:
        """`wrong`, `unknown` or `ok`."""
        return "wrong" if self.wrong else "unknown" if self.unknown else "ok"


# What a check may need, and what it says in a cluster that by its inventory has nothing of the kind.
KINDS = {
    "brokers": "no broker in this cluster",
    "any_broker": "no broker in this cluster",
    "hosts": "no host in this cluster",
    "certificates": "no TLS in this cluster",
    "projects": "no Celery project in this cluster",
    "programs": "no worker program in this cluster",
    "running": "no worker program in this cluster",
    "answering": "no worker program in this cluster",
    "schedulers": "no scheduler in this cluster",
    "locks": "no Redis in this cluster",
    "flower": "no Flower in this cluster",
    "databases": "no database in this cluster",
    "inventory": "nothing in the inventory",
}
# A measured value, what is wrong, what repairs it, and perhaps more of what is not known.
Result = tuple[str, list[str], str] | tuple[str, list[str], str, list[str]]
CHECKS: list[tuple[str, Callable[[Cluster], Finding]]] = []


def check(name: str, *needs: str) -> Callable:
    """Register a function that takes a Cluster and returns a Result.

    `needs` are keys of KINDS: whatever the cluster has of these and has not told is not known to the check. The
    function is called when something of each is known.
    """

    def register(function: Callable[[Cluster], Result]) -> Callable[[Cluster], Result]:
        def examine_one(cluster: Cluster) -> Finding:
            answers = [getattr(cluster, need) for need in needs]
            unknown = [reason for answer in answers for reason in answer.unknown]
            if all(answer.known for answer in answers):
                measured, wrong, repair, *more = function(cluster)
                unknown += [reason for reasons in more for reason in reasons]
            else:
                absent = [KINDS[need] for need, answer in zip(needs, answers, strict=True) if not answer.known]
                measured, wrong, repair = "nothing is known" if unknown else absent[0], [], "nothing to repair"
            lists = [[harmless(sentence) for sentence in sentences] for sentences in (wrong, unknown)]
            return Finding(name, harmless(measured), *lists, harmless(repair))

        CHECKS.append((name, examine_one))
        return function

    return register


def worst(shares: dict[str, float]) -> str:
    """Return the largest of some shares, a dict of names to numbers, as a text."""
    name = max(shares, key=shares.get)
    return f"{shares[name]:.0%} on {name}"


def deploy(cluster: Cluster, tag: str) -> str:
    """Return the command that deploys what has a tag."""
    return f"`{cluster.facts['commands']['deploy']} {tag}`"


def on_its_host(program: str, command: str) -> str:
    """Return a command for a worker program such as `default@w1`, with the host to type it on."""
    name, _, host = program.partition("@")
    return f"`{command} {shlex.quote(name)}` on {host}"


@check("every part answers")
def every_part_answers(cluster: Cluster) -> Result:
    rows = [row for section in sections(cluster) for row in section.rows]
    silent = [f"{name}: {wrong[0]}" for name, values, wrong in rows if not values and wrong]
    return f"{len(rows)} parts asked", silent, "type what the sentence says"


@check("brokers see each other", "brokers")
def brokers_see_each_other(cluster: Cluster) -> Result:
    names = {f"rabbit@{host}" for host in cluster.facts["groups"]["rabbitmq"]}
    unseen = {
        host: sorted(names - set(said.running) | set(said.partitions)) for host, said in cluster.brokers.known.items()
    }
    apart = [f"{host} does not see {', '.join(map(shown, others))}" for host, others in unseen.items() if others]
    measured = f"{len(cluster.brokers.known)} of {len(names)}"
    return measured, apart, "on that broker `systemctl restart rabbitmq-server`"


@check("members are the inventory's", "any_broker")
def members_are_the_inventorys(cluster: Cluster) -> Result:
    brokers = cluster.any_broker.known
    members = sorted({member for said in brokers.values() for member in said.members})
    surplus = [
        name for name in members if name not in {f"rabbit@{host}" for host in cluster.facts["groups"]["rabbitmq"]}
    ]
    wrong = [f"{shown(name)} is a member and not in the inventory; it counts for the majority" for name in surplus]
    runs = [name for name in surplus if any(name in said.running for said in brokers.values())]
    forget = f"on {next(iter(brokers))} " + " and ".join(
        f"`rabbitmqctl forget_cluster_node {shlex.quote(name)}`" for name in surplus or ["rabbit@HOST"]
    )
    stop = "`systemctl disable --now rabbitmq-watchdog.timer rabbitmq-server` there, then " if runs else ""
    return f"{len(members)} members", wrong, f"{stop}{forget}, or add its host to the inventory"


@check("no publisher is held up", "brokers")
def no_publisher_is_held_up(cluster: Cluster) -> Result:
    brokers = cluster.brokers.known
    alarms = [f"{host}: {', '.join(map(shown, said.alarms))}" for host, said in brokers.items() if said.alarms]
    waiting = sum(said.waiting_connections for said in brokers.values())
    # Where a limit was changed by hand, the configuration's own; where there is a backlog, more workers.
    return f"{waiting} connections wait", alarms, f"`{cluster.facts['commands']['heal']}`, or start more workers"


@check("memory is below the watermark", "brokers")
def memory_is_below_the_watermark(cluster: Cluster) -> Result:
    # A limit of 0 is one that holds up every publisher.
    shares = {host: said.memory_bytes / max(said.memory_limit_bytes, 1) for host, said in cluster.brokers.known.items()}
    return _nearly_full(
        shares, cluster.thresholds["broker_memory_share"], "start more workers, or raise rabbitmq_memory_high_watermark"
    )


@check("file handles of the brokers", "brokers")
def file_handles(cluster: Cluster) -> Result:
    # RabbitMQ says no number where there is no limit.
    limited = {host: said for host, said in cluster.brokers.known.items() if said.file_handles_limit}
    shares = {host: said.file_handles / said.file_handles_limit for host, said in limited.items()}
    repair = f"raise host_open_files_limit, {deploy(cluster, 'host')}, and there `systemctl restart rabbitmq-server`"
    return _nearly_full(shares, cluster.thresholds["broker_file_handles_share"], repair, "no limit")


@check("disk space for the brokers", "brokers")
def disk_space_for_the_brokers(cluster: Cluster) -> Result:
    brokers = cluster.brokers.known
    left = {host: said.disk_free_bytes for host, said in brokers.items() if said.disk_free_bytes is not None}
    unmeasured = [f"{host}: RabbitMQ cannot measure its disk; there, type `df`" for host in brokers if host not in left]
    short = [
        f"{host} has {size(free)} left and stops publishers at {size(brokers[host].disk_limit_bytes)}"
        for host, free in left.items()
        if free < cluster.thresholds["broker_disk_times_limit"] * brokers[host].disk_limit_bytes
    ]
    measured = f"{size(min(left.values()))} left" if left else "nothing is known"
    return measured, short, "on that broker `journalctl --vacuum-size=100M` and `du -x / | sort -n`", unmeasured


def _nearly_full(shares: dict[str, float], most: float, repair: str, without: str = "") -> Result:
    """Return the fields of a finding: no share is above `most`. `without` is measured where no part has a limit."""
    wrong = [f"{name} uses {share:.0%}" for name, share in shares.items() if share > most]
    return worst(shares) if shares else without, wrong, repair


@check("queues are consumed", "brokers")
def queues_are_consumed(cluster: Cluster) -> Result:
    wanted = cluster.facts["task_queues"]
    found = [name for name in wanted if name in cluster.queues]
    unread = [name for name in found if cluster.queues[name].consumers == 0]
    # A broker that does not answer may have it.
    missing = [name for name in wanted if name not in cluster.leaders and not cluster.brokers.unknown]
    wrong = [f"nobody consumes {shown(name)}" for name in unread]
    wrong += [f"no broker has {shown(name)}, and its workers would make it" for name in missing]
    wrong += [f"the process of {shown(name)} on {host} has ended" for name, host in cluster.crashed.items()]
    wrong += [f"{shown(name)} on {host} does not answer" for name, host in cluster.stuck.items()]
    # A program that runs already would not take up a queue that has gone.
    command, queue = ("supervisorctl start", unread[0]) if unread else ("supervisorctl restart", "".join(missing[:1]))
    takers = [
        on_its_host(f"{program['name']}@{host}", command)
        for host, programs in cluster.facts["programs"].items()
        for program in programs
        if queue in program["queues"]
    ]
    repair = " and ".join(takers) or "start the program that should"
    if cluster.stuck:
        restart = on_its_host(f"rabbitmq-server@{min(cluster.stuck.values())}", "systemctl restart")
        alarmed = any(said.alarms for said in cluster.brokers.known.values())
        # It copies itself to a mirror that has come back, and waits for the alarm to end.
        repair = f"`{cluster.facts['commands']['heal']}`, which ends the alarm" if alarmed else restart
    if cluster.crashed:
        repair = on_its_host(f"rabbitmq-server@{min(cluster.crashed.values())}", "systemctl restart")
    return f"{len(found)} of {len(wanted)} task queues", wrong, repair


@check("no task waits in a queue of nobody", "brokers")
def no_task_waits_in_a_queue_of_nobody(cluster: Cluster) -> Result:
    others = {
        name: queue
        for name, queue in cluster.queues.items()
        if name not in cluster.facts["task_queues"]
        and not OWN_QUEUE.fullmatch(name)
        and not DELAY_QUEUE.fullmatch(name)
        and not REPLY_QUEUE.fullmatch(name)
    }
    # Somebody else's program may have its own queue.
    left = {name: queue.ready for name, queue in others.items() if queue.ready and not queue.consumers}
    wrong = [f"{count} wait in {shown(name)}, which the inventory has not" for name, count in left.items()]
    delete = f"on a broker `rabbitmqctl delete_queue -p {cluster.vhost} QUEUE`, {NAMED} QUEUE"
    repair = f"add it to cluster_queues and to a program's queues; if nobody needs them, {delete}"
    return f"{len(others)} other queues", wrong, repair


@check("no task is parked", "brokers")
def no_task_is_parked(cluster: Cluster) -> Result:
    queue = cluster.queues.get(PARKED)
    parked = queue.ready if queue else 0
    wrong = [f"{parked} tasks wait for somebody to look at their reason"] if parked else []
    return f"{parked} tasks", wrong, f"`{cluster.facts['commands']['parked']}`"


@check("mirrors are in sync", "brokers")
def mirrors_are_in_sync(cluster: Cluster) -> Result:
    behind = [name for name, queue in cluster.queues.items() if set(queue.mirrors) - set(queue.synchronised)]
    mirrored = [name for name, queue in cluster.queues.items() if queue.mirrors]
    ours = [name for name in behind if name in cluster.facts["task_queues"]]
    repair = f"`rabbitmqctl sync_queue -p {cluster.vhost} {shlex.quote(ours[0]) if ours else 'QUEUE'}` on a broker"
    if any(cluster.queues[name].type == "quorum" for name in behind):
        repair = "start the brokers that are down; their copies catch up by themselves"
    wrong = [f"{shown(name)} has a copy that is behind" for name in behind]
    return f"{len(mirrored)} queues with copies", wrong, repair


@check("event queues have bounds", "brokers")
def event_queues_have_bounds(cluster: Cluster) -> Result:
    events = {name: queue for name, queue in cluster.queues.items() if name.startswith("celeryev")}
    unbounded = [
        f"{shown(name)} has no {what}"
        for name, queue in events.items()
        for key, what in (
            ("ttl_milliseconds", "message-ttl"),
            ("max_length", "max-length"),
            ("expires_milliseconds", "expires"),
        )
        if getattr(queue, key) is None
    ]
    return f"{len(events)} event queues", unbounded, deploy(cluster, "rabbitmq")


@check("event queues are read", "brokers")
def event_queues_are_read(cluster: Cluster) -> Result:
    unread = {name: queue.ready for name, queue in cluster.queues.items() if name.startswith("celeryev")}
    full = [name for name, count in unread.items() if count > cluster.thresholds["unread_events"]]
    # Its reader hangs, or is gone for good. RabbitMQ deletes a queue that nobody reads, if the kit's policy is there.
    if full and cluster.queues[full[0]].consumers == 0:
        repair = f"{deploy(cluster, 'rabbitmq')}: its bounds delete it within a minute"
    else:
        repair = "`supervisorctl restart flower` where Flower runs"
    wrong = [f"{shown(name)} holds {unread[name]} events" for name in full]
    return f"{max(unread.values(), default=0)} unread at most", wrong, repair


@check("results do not pile up", "brokers")
def results_do_not_pile_up(cluster: Cluster) -> Result:
    results = {name: queue.ready for name, queue in cluster.queues.items() if REPLY_QUEUE.fullmatch(name)}
    most = cluster.thresholds["unread_results"]
    wrong = [f"{name} holds {count} results" for name, count in results.items() if count > most]
    delete = f"on a broker `rabbitmqctl delete_queue -p {cluster.vhost} QUEUE`, {NAMED} QUEUE"
    return f"{sum(results.values())} unread", wrong, f"{delete}; and ignore_result on its tasks"


@check("the management plugin is off", "brokers")
def the_management_plugin_is_off(cluster: Cluster) -> Result:
    on = [host for host, said in cluster.brokers.known.items() if "rabbitmq_management" in said.plugins]
    repair = f"`{cluster.facts['commands']['page_off']}`"
    return f"on at {len(on)} brokers", [f"{host} has it on" for host in on], repair


@check("a task may be held for long enough", "brokers", "inventory")
def a_task_may_be_held_for_long_enough(cluster: Cluster) -> Result:
    timeouts = {host: (said.consumer_timeout_milliseconds or 0) / 1000 for host, said in cluster.brokers.known.items()}
    wanted = cluster.inventory.known
    needed = wanted["longest_countdown_seconds"] + 2 * wanted["longest_task_seconds"]
    # 0 is no limit.
    short = {host: seconds for host, seconds in timeouts.items() if 0 < seconds < needed}
    wrong = [
        f"{host} takes a task back after {seconds:.0f} s, and a worker may hold it for {needed} s"
        for host, seconds in short.items()
    ]
    measured = f"{min((seconds for seconds in timeouts.values() if seconds), default=0):.0f} s"
    restart = f"`systemctl restart rabbitmq-server` on {next(iter(short), 'that broker')}"
    repair = f"{deploy(cluster, 'rabbitmq')}, and where that changes nothing {restart}"
    return "no limit" if measured == "0 s" else measured, wrong, repair


@check("policies are the inventory's", "any_broker", "inventory")
def policies_are_the_inventorys(cluster: Cluster) -> Result:
    wanted = {
        policy["name"]: (policy["pattern"], policy["priority"], policy["definition"])
        for policy in cluster.inventory.known["policies"]
    }
    # All brokers have the same.
    broker = next(iter(cluster.any_broker.known.values()))
    found = {policy.name: (policy.pattern, policy.priority, policy.definition) for policy in broker.policies}
    measured, wrong, _ = _same("policy", wanted, found)
    return measured, wrong, deploy(cluster, "rabbitmq")


@check("users are the inventory's", "any_broker", "inventory")
def users_are_the_inventorys(cluster: Cluster) -> Result:
    keys = ("configure", "write", "read")
    wanted = {user["name"]: tuple(user[key] for key in keys) for user in cluster.inventory.known["users"]}
    # The page has a user of its own as long as it is on.
    if any("rabbitmq_management" in said.plugins for said in cluster.brokers.known.values()):
        wanted[cluster.inventory.known["page_user"]] = ("^$", "^$", "^$")
    broker = next(iter(cluster.any_broker.known.values()))
    found = {user.user: (user.configure, user.write, user.read) for user in broker.permissions}
    measured, wrong, foreign = _same("user", wanted, found)
    delete = f"on a broker `rabbitmqctl delete_user USER`, {NAMED} USER, or add it to rabbitmq_users"
    return measured, wrong, delete if foreign else deploy(cluster, "rabbitmq")


@check("nobody else administers the brokers", "any_broker")
def nobody_else_administers_the_brokers(cluster: Cluster) -> Result:
    # The kit makes no administrator: rabbitmqctl asks root for no password.
    broker = next(iter(cluster.any_broker.known.values()))
    administrators = [user.user for user in broker.users if "administrator" in user.tags]
    wrong = [f"the user {shown(name)} is an administrator, who may do everything" for name in administrators]
    repair = f"on a broker `rabbitmqctl set_user_tags USER`, {NAMED} USER, which takes the tag away"
    return f"{len(administrators)} administrators", wrong, repair


@check("nobody else uses the database", "databases", "inventory")
def nobody_else_uses_the_database(cluster: Cluster) -> Result:
    wanted = set(cluster.inventory.known["database_users"])
    (server,) = cluster.databases.known.values()
    wrong = [f"the user {shown(name)} is a superuser, who may do everything" for name in server.superusers]
    for name in sorted(wanted ^ set(server.users)):
        wrong.append(f"the user {shown(name)} " + ("is missing" if name in wanted else "is not in the inventory"))
    if not server.superusers and set(server.users) <= wanted:
        return f"{len(server.users)} users", wrong, deploy(cluster, "postgresql")
    take = "runuser -u postgres -- psql --command='ALTER ROLE \"USER\" NOSUPERUSER NOLOGIN'"
    whole = cluster.facts["commands"]["deploy"].partition(" --tags")[0]
    repair = f"type `{whole}`, which removes former users of the kit's; of another, on "
    repair += f"{next(iter(cluster.databases.known))} `{take}`, with the name above instead of USER"
    return f"{len(server.superusers + server.users)} users", wrong, repair


def _same(what: str, wanted: dict[str, tuple], found: dict[str, tuple]) -> tuple[str, list[str], set[str]]:
    differing = [
        f"the {what} {shown(name)} "
        + ("is missing" if name not in found else "differs" if name in wanted else "is not in the inventory")
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    return f"{len(found)}", differing, found.keys() - wanted.keys()


@check("workers send no heartbeats and no gossip", "running", "inventory")
def workers_send_no_heartbeats(cluster: Cluster) -> Result:
    missing = [
        f"{name} runs without {argument}"
        for name, program in cluster.running.known.items()
        for argument in cluster.inventory.known["arguments"]
        if argument not in program.arguments
    ]
    return f"{len(cluster.running.known)} programs", missing, deploy(cluster, "celery_worker")


@check("workers fetch no more than they can do", "answering", "inventory")
def workers_fetch_no_more_than_they_can_do(cluster: Cluster) -> Result:
    # 0 is no limit, for Celery too. A pool that may grow fetches for its largest size.
    multiplier = cluster.inventory.known["prefetch_multiplier"]
    bound = {name: p for name, p in cluster.answering.known.items() if multiplier and not _grows(p)}
    untold = [name for name, p in bound.items() if p.prefetch is None or not p.concurrency]
    fetching = {
        name: (program.prefetch, program.concurrency * multiplier)
        for name, program in bound.items()
        if name not in untold
    }
    greedy = [
        f"{name} fetches {fetched or 'without a limit'}, not {wanted}"
        for name, (fetched, wanted) in fetching.items()
        if fetched > wanted or fetched == 0
    ]
    measured = f"{sum(fetched for fetched, _ in fetching.values())} tasks at most" if multiplier else "no limit"
    unknown = [f"{name}: the answer does not say how many it fetches" for name in untold]
    return measured, greedy, deploy(cluster, "celery_worker"), unknown


def _grows(program: Program) -> bool:
    return any(argument.startswith("--autoscale") for argument in program.arguments)


@check("no worker is a zombie", "programs")
def no_worker_is_a_zombie(cluster: Cluster) -> Result:
    running = {name: program for name, program in cluster.programs.known.items() if program.state == "RUNNING"}
    silent = [name for name, program in running.items() if not program.answering]
    ended = {name: program.zombies for name, program in running.items() if program.zombies}
    programs = cluster.facts["programs"].items()
    wanted = {f"{program['name']}@{host}": program for host, listed in programs for program in listed}
    solo = [name for name in silent if wanted[name].get("pool") == "solo"]
    because = ", as a program with the pool solo does while a task runs"
    wrong = [f"{name} runs and gives no answer{because if name in solo else ''}" for name in silent]
    wrong += [f"{name} has {count} ended processes" for name, count in ended.items()]
    # A frozen program does not hear supervisord, which would wait for its tasks; the watchdog kills it.
    watched = [name for name in silent if name not in solo and wanted[name].get("watchdog", True)]
    if watched:
        repair = f"`systemctl start celery-watchdog` on {watched[0].partition('@')[2]}"
    elif silent:
        # It leads a process group of its own, as the watchdog uses it.
        name, _, host = silent[0].partition("@")
        repair = "look whether a task runs that may take long, in the program's log; if not, "
        repair += f"`kill -KILL -- -$(supervisorctl pid {shlex.quote(name)})` on {host}"
    else:
        repair = on_its_host(next(iter(ended), "PROGRAM@HOST"), "supervisorctl restart")
    return f"{len(running)} of {len(cluster.programs.known)} programs run", wrong, repair


@check("pools do their tasks", "programs")
def pools_do_their_tasks(cluster: Cluster) -> Result:
    idle = {name: program.idle for name, program in cluster.programs.known.items() if program.idle}
    killed = [name for name, how in idle.items() if how == "killed"]
    wrong = [
        f"{name} holds tasks and does none"
        + (": its processes are killed before they can begin" if name in killed else "")
        for name in idle
    ]
    repair = on_its_host(next(iter(idle), "PROGRAM@HOST"), "supervisorctl restart")
    if killed:
        repair = f"raise celery_app_start_timeout_seconds, and {deploy(cluster, 'celery_app,celery_worker')}"
    return f"{len(cluster.programs.known) - len(idle)} of {len(cluster.programs.known)} programs", wrong, repair


@check("children stay below their memory", "running", "inventory")
def children_stay_below_their_memory(cluster: Cluster) -> Result:
    largest = {name: program.largest_child_bytes for name, program in cluster.running.known.items()}
    shared, times = cluster.inventory.known["child_memory_kib"], cluster.thresholds["child_memory_times_limit"]
    limits = {name: _child_limit_kib(program, shared) * 1024 for name, program in cluster.running.known.items()}
    large = [name for name, used in largest.items() if limits[name] and used > times * limits[name]]
    wrong = [f"a child of {name} has {size(largest[name])}, more than {size(limits[name])}" for name in large]
    repair = f"{on_its_host((large or ['PROGRAM@HOST'])[0], 'supervisorctl restart')}, and look what it does"
    return f"{size(max(largest.values()))} at most{'' if any(limits.values()) else ', no limit'}", wrong, repair


def _child_limit_kib(program: Program, shared: int) -> int:
    """Return the limit of a program of its own, and else the one that all share; 0 is none."""
    option = "--max-memory-per-child="
    own = [argument.removeprefix(option) for argument in program.arguments if argument.startswith(option)]
    return int(own[-1]) if own else shared


@check("all hosts have the same release", "projects")
def all_hosts_have_the_same_release(cluster: Cluster) -> Result:
    releases = {host: said.release for host, said in cluster.projects.known.items()}
    differing = [
        f"{host} has {shown(release or 'none')}"
        for host, release in releases.items()
        if release is None or len(set(releases.values())) > 1
    ]
    measured = ", ".join(sorted(shown(release or "none") for release in set(releases.values())))
    return measured, differing, deploy(cluster, "celery_app")


@check("programs run with their settings", "projects")
def programs_run_with_their_settings(cluster: Cluster) -> Result:
    projects = {host: said.programs for host, said in cluster.projects.known.items()}
    running = {
        (host, name): program
        for host, programs in projects.items()
        for name, program in programs.items()
        if program.running is not None
    }
    other = [
        f"{shown(name)} on {host} was started with other settings than its entry names"
        for (host, name), program in running.items()
        if program.running != program.wanted
    ]
    unknown = [
        f"{program['name']}@{host}: supervisord has no entry of it; type {deploy(cluster, 'celery_worker')}"
        for host, programs in cluster.facts["programs"].items()
        for program in programs
        if host in projects and program["name"] not in projects[host]
    ]
    return f"{len(running)} programs", other, "on that host `supervisorctl update`", unknown


@check("Flower sees the workers", "flower")
def flower_sees_the_workers(cluster: Cluster) -> Result:
    wanted = worker_programs(cluster.facts)
    unseen = [
        f"{host} {'sees ' + name + ' offline' if name in workers else 'does not know ' + name}"
        for host, workers in cluster.flower.known.items()
        for name in wanted
        if not workers.get(name)
    ]
    seen = min(sum(workers.values()) for workers in cluster.flower.known.values())
    return f"{seen} of {len(wanted)} programs", unseen, "on that host `supervisorctl restart flower-presence`"


@check("the schedule is looked at", "schedulers")
def the_schedule_is_looked_at(cluster: Cluster) -> Result:
    # That of a standby is as old as its last turn.
    times = {host: said.looks_at for host, said in cluster.schedulers.known.items() if said.looks_at is not None}
    if not times:
        return "never", ["no scheduler says when it will look again"], deploy(cluster, "celery_beat")
    latest = max(times, key=times.get)
    late = max(cluster.facts["time"] - times[latest], 0)
    # One that gives no answer may do it.
    hangs = late > cluster.thresholds["scheduler_overdue_seconds"] and not cluster.schedulers.unknown
    wrong = [f"{latest} should have looked {late:.0f} s ago, and no other has since"] if hangs else []
    return f"{late:.0f} s late", wrong, f"`supervisorctl restart beat` on {latest}"


@check("locks end", "locks")
def locks_end(cluster: Cluster) -> Result:
    ((where, instance),) = cluster.locks.known.items()
    # RedBeat's schedule, which does not end, is in database 0. Redis names a database that has keys.
    locks = instance.databases.get("1", Keys(keys=0, expire=0))
    count = locks.keys - locks.expire
    host = where.split(":")[0]
    return (
        f"{count} without an end",
        [f"{count} locks on {where} have no end"] if count else [],
        f"`redis-ask locks -n 1 --scan` on {host} names all locks; then delete those",
    )


@check("room for tracked connections", "hosts")
def room_for_tracked_connections(cluster: Cluster) -> Result:
    used = {host: said.conntrack_used for host, said in cluster.hosts.known.items()}
    shares = {host: share for host, share in used.items() if share is not None}
    repair = f"raise host_conntrack_max, and {deploy(cluster, 'host')}"
    return _nearly_full(
        shares, cluster.thresholds["tracked_connections_share"], repair, "no kernel here tracks connections"
    )


@check("room for files", "hosts")
def room_for_files(cluster: Cluster) -> Result:
    shares = {f"{host}:{said.inodes_used[1]}": said.inodes_used[0] for host, said in cluster.hosts.known.items()}
    return _nearly_full(
        shares,
        cluster.thresholds["inodes_share"],
        "`systemctl start celery-clean` and `du --inodes -x / | sort -n | tail` on that host",
    )


@check("kernel settings are the inventory's", "hosts")
def kernel_settings(cluster: Cluster) -> Result:
    wrong = [f"{host}: {shown(line)}" for host, said in cluster.hosts.known.items() for line in said.kernel_wrong]
    return f"{len(cluster.hosts.known)} hosts", wrong, "`sysctl --load=/etc/sysctl.d/60-warren.conf` on that host"


@check("firewalls are as deployed", "hosts")
def firewalls_as_deployed(cluster: Cluster) -> Result:
    found = {host: said.firewall for host, said in cluster.hosts.known.items()}
    on = [host for host, state in found.items() if state != "off"]
    words = {"off": "has no firewall, unlike other hosts", "changed": "has other rules than it was deployed with"}
    wrong = [f"{host} {words[state]}" for host, state in found.items() if on and state in words]
    measured = f"{len(on)} of {len(found)} hosts have one"
    return measured, wrong, f"{deploy(cluster, 'host')}; leave out `host_firewall: false` where a host has none"


@check("services run in their sandbox", "hosts")
def services_run_in_their_sandbox(cluster: Cluster) -> Result:
    found = [(host, shown(unit)) for host, said in cluster.hosts.known.items() for unit in said.unconfined]
    units = sorted({unit for _, unit in found})
    repair = f"`systemctl restart {' '.join(units)}` there, one host after the other"
    return (
        f"{len(cluster.hosts.known)} hosts",
        [f"{unit} on {host} was started before it had one" for host, unit in found],
        repair,
    )


@check("hosts find each other by name", "hosts")
def hosts_find_each_other(cluster: Cluster) -> Result:
    lost = {host: said.unresolved for host, said in cluster.hosts.known.items() if said.unresolved}
    wrong = [f"{host} knows no address of {', '.join(names)}" for host, names in lost.items()]
    return f"{len(cluster.hosts.known)} hosts", wrong, deploy(cluster, "host")


@check("certificates last", "certificates")
def certificates_last(cluster: Cluster) -> Result:
    least, wrong = cluster.thresholds["certificate_days"], []
    for host, said in cluster.certificates.known.items():
        wrong += [f"the certificate of {host} {_lasts(said.host)}"] if said.host < least else []
        wrong += [f"the authority's certificate on {host} {_lasts(said.authority)}"] if said.authority < least else []
        wrong += [] if said.fits else [f"the key of {host} does not belong to its certificate"]
    days = [min(said.host, said.authority) for said in cluster.certificates.known.values()]
    return f"valid for {min(days):.0f} days at least", wrong, deploy(cluster, "certificate")


def _lasts(days: float) -> str:
    return f"is valid for {days:.1f} days only" if days > 0 else f"has ended {-days:.1f} days ago"


@check("clocks agree", "hosts")
def clocks_agree(cluster: Cluster) -> Result:
    off = {}
    for host, said in cluster.hosts.known.items():
        asked, answered = cluster.facts["asked"][host]
        # The host's time lies between the two where the clocks agree.
        off[host] = max(asked - said.time, said.time - answered, 0)
    most = cluster.thresholds["clock_seconds"]
    wrong = [f"{host} is {seconds:.1f} s off" for host, seconds in off.items() if seconds > most]
    return f"{max(off.values()):.1f} s off at most", wrong, "`systemctl restart systemd-timesyncd` on that host"


def examine(facts: dict) -> list[Finding]:
    """Return the Findings of all checks."""
    cluster = Cluster(facts)
    return [examine_one(cluster) for _, examine_one in CHECKS]


SHOWN = {"ok": paint("ok       ", GREEN), "wrong": paint("wrong    ", RED), "unknown": paint("not known", YELLOW)}


def report(findings: list[Finding]) -> str:
    """Return the findings as text, with the terminal's colours."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{SHOWN[finding.verdict]}  {finding.name:<{width}}  {finding.measured}")
        lines += [paint(f"           {sentence}", RED) for sentence in finding.wrong]
        lines += [f"           repair: {finding.repair}"] if finding.wrong else []
        lines += [paint(f"           not known, because {reason}", YELLOW) for reason in _together(finding.unknown)]
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in SHOWN}
    return "\n".join([*lines, paint("{ok} ok, {wrong} wrong, {unknown} not known".format(**counts), BOLD)])


def _together(reasons: Iterable[str]) -> list[str]:
    """Return `NAME: REASON` sentences with the names of the same reason in one."""
    names = {}
    for sentence in reasons:
        name, _, reason = sentence.partition(": ")
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(known)}: {reason}" for reason, known in names.items()]


def verdict(facts: dict, findings: list[Finding]) -> dict[str, Any]:
    """Return the findings as a dict that JSON can express, as docs/formats.md says."""
    return {
        "environment": facts["environment"],
        "time": iso_time(facts["time"]),
        "passed": all(finding.verdict == "ok" for finding in findings),
        "checks": [asdict(finding) | {"verdict": finding.verdict} for finding in findings],
    }
