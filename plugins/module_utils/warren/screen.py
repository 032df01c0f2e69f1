"""The screen of playbooks/status.yml: what the parts of a cluster answered, as a text of one screen and as JSON.

The JSON is described in docs/formats.md; model.py says what the facts are.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from warren.model import (
    BEAT_LOOK,
    BOLD,
    DELAY_QUEUE,
    GREEN,
    PARKED,
    RED,
    Answers,
    Cluster,
    NoAnswerError,
    Part,
    answering_redis,
    attempt,
    harmless,
    iso_time,
    paint,
    shown,
    size,
    why_it_does_not_answer,
    worker_programs,
)


@dataclass
class Column:
    """A column of the screen: its heading, the names of the values that it shows, and a function that makes a text of
    them. `unknown` stands where one of them is None; a row without such values has nothing there."""

    heading: str
    values: str
    show: Callable = str
    unknown: str = "unknown"

    def cell(self, values: dict[str, Any]) -> str:
        """Return the text for a row's values."""
        names = self.values.split()
        if not values.keys() >= set(names):
            return ""
        found = [values[name] for name in names]
        return self.unknown if None in found else harmless(self.show(*found))


@dataclass
class Section:
    """A part of the screen. A row is a name, values by name (none where nothing is known), and problems."""

    title: str
    columns: list[Column]
    rows: list[tuple[str, dict[str, Any], list[str]]] = field(default_factory=list)

    def add(self, name: str, values: dict[str, Any], *problems: object) -> None:
        """Add a row; `problems` are sentences without the name, and empty ones are none."""
        self.rows.append((harmless(name), values, [harmless(problem) for problem in problems if problem]))

    def known(self, answers: Answers[Part], prefix: str = "") -> Iterator[tuple[str, Part]]:
        """Go through the parts that have answered; each other becomes a row that says why."""
        for name, part in answers.parts.items():
            if isinstance(part, NoAnswerError):
                self.add(prefix + name, {}, part)
            else:
                yield name, part


def values_of(part: object, names: Iterable[str]) -> dict[str, Any]:
    """Return these fields of a part, as a row's values."""
    return {name: getattr(part, name) for name in names}


def duration(seconds: int) -> str:
    """Return seconds for people, in the two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def share_of(used: int, limit: int) -> str:
    """Return a use of memory for people; a limit of 0 is none."""
    return f"{size(used)} of {size(limit)}" if limit else f"{size(used)}, no limit"


def brokers_section(cluster: Cluster) -> Section:
    """Return the brokers' rows."""
    section = Section(
        "Brokers",
        [
            Column("version", "version"),
            Column("up for", "uptime_seconds", duration),
            Column("memory", "memory_bytes memory_limit_bytes", share_of),
            Column("disk free", "disk_free_bytes", size),
            Column("connections", "connections"),
            Column("leads", "leads"),
            Column("alarms", "alarms", len),
        ],
    )
    names = {f"rabbit@{host}" for host in cluster.brokers.parts}
    same = ("version", "uptime_seconds", "memory_bytes", "memory_limit_bytes", "disk_free_bytes", "connections")
    for host, said in section.known(cluster.brokers):
        missing = sorted(names - set(said.running))
        section.add(
            host,
            values_of(said, same) | {"leads": len(said.leads), "alarms": said.alarms},
            said.alarms and f"blocks publishers: {', '.join(map(shown, said.alarms))}",
            said.partitions and f"runs apart from {', '.join(map(shown, said.partitions))}",
            missing and f"does not see {', '.join(missing)} running",
        )
    return section


def queues_section(cluster: Cluster) -> Section:
    """Return the rows of the task queues, and one for all others."""
    section = Section(
        "Queues",
        [
            Column("type", "type"),
            Column("leader", "leader"),
            Column("mirrors", "mirrors behind", _mirrors),
            Column("ready", "ready"),
            Column("unacked", "unacknowledged"),
            Column("consumers", "consumers"),
            Column("in/s", "in_per_second", "{:.1f}".format),
            Column("out/s", "out_per_second", "{:.1f}".format),
            # Only of messages that carry a time.
            Column("oldest", "oldest_message_age_seconds", lambda seconds: f"{duration(seconds)} ago", unknown="-"),
        ],
    )
    silent = [host for host in cluster.brokers.parts if host not in cluster.brokers.known]
    queues = dict(cluster.queues)
    for name, host in cluster.crashed.items():
        section.add(name, {}, f"its process on {host} has ended; there, type `systemctl restart rabbitmq-server`")
    for name, host in cluster.stuck.items():
        section.add(name, {}, f"does not answer on {host}; the doctor says what to do (`verify.yml`)")
    for name in cluster.facts["task_queues"]:
        if name in cluster.crashed | cluster.stuck:
            continue
        if name not in queues:
            where = f"on the brokers that answer; {' and '.join(silent)} may have it" if silent else "on any broker"
            section.add(name, {}, f"has no leader {where}")
            continue
        queue = queues.pop(name)
        behind = sorted(set(queue.mirrors) - set(queue.synchronised))
        oldest = queue.oldest_message_time
        same = ("type", "ready", "unacknowledged", "consumers", "in_per_second", "out_per_second")
        section.add(
            name,
            values_of(queue, same)
            | {"leader": cluster.leaders[name], "mirrors": sorted(queue.mirrors), "behind": behind}
            | {"oldest_message_age_seconds": None if oldest is None else int(cluster.facts["time"] - oldest)},
            queue.consumers == 0 and "nobody consumes it",
            behind and f"its copy on {', '.join(map(shown, behind))} is not in sync yet",
        )
    if parked := queues.pop(PARKED, None):
        said = {"ready": parked.ready, "unacknowledged": parked.unacknowledged, "leader": cluster.leaders[PARKED]}
        look = f"type `{cluster.facts['commands']['parked']}`"
        section.add("parked", said, parked.ready and f"{parked.ready} tasks wait for you, with the reason: {look}")
    if delayed := [queues.pop(name) for name in list(queues) if DELAY_QUEUE.fullmatch(name)]:
        section.add("delayed", {"ready": sum(queue.ready or 0 for queue in delayed), "queues": len(delayed)})
    others = list(queues.values())
    section.add(
        f"others: {len(others)}",
        {
            "ready": sum(queue.ready for queue in others),
            "unacknowledged": sum(queue.unacknowledged for queue in others),
            "queues": len(others),
        },
        silent and f"those that {' and '.join(silent)} may have are not counted",
    )
    return section


def _mirrors(mirrors: list[str], behind: list[str]) -> str:
    return " ".join(f"{mirror}?" if mirror in behind else mirror for mirror in mirrors) or "none"


def balancers_section(cluster: Cluster) -> Section:
    """Return a row for each server of each HAProxy."""
    section = Section(
        "HAProxy",
        [
            Column("server", "server"),
            Column("state", "state"),
            Column("for", "state_seconds", duration),
            Column("sessions", "sessions"),
            Column("bytes in", "bytes_in", size),
            Column("bytes out", "bytes_out", size),
            Column("address", "address"),
        ],
    )
    shared, sharing = cluster.facts["shared_address"], cluster.keepalived
    holders = [host for host, said in sharing.known.items() if said.holds_address]
    problems = {
        host: f"keepalived: {said}"
        if isinstance(said, NoAnswerError)
        else said.state != "active" and "keepalived does not run; there, type `systemctl status keepalived`"
        for host, said in sharing.parts.items()
    }
    for host, servers in cluster.servers.parts.items():
        # Said once for the host.
        problem = problems.get(host, "")
        if isinstance(servers, NoAnswerError):
            section.add(host, {}, servers, problem)
            continue
        names = [server.name for server in servers]
        unknown = [broker for broker in cluster.brokers.parts if broker not in names]
        if unknown:
            repair = f"type `{cluster.facts['commands']['deploy']} haproxy`"
            section.add(host, {}, f"knows no server {' and '.join(unknown)}; {repair}", problem)
            problem = ""
        for server in servers:
            section.add(
                host,
                values_of(server, ("sessions", "bytes_in", "bytes_out"))
                | {"server": f"{server.backend}/{server.name}", "state": server.status}
                | {"state_seconds": server.since_seconds, "address": shared if host in holders else ""},
                not server.status.startswith("UP")
                and f"finds {shown(server.name)} {server.status} ({shown(server.check or 'not checked')})",
                problem,
            )
            problem = ""
    if shared and len(holders) != 1:
        silent = [host for host in sharing.parts if host not in sharing.known]
        known = f"no host that answers; {' and '.join(silent)} may have it" if silent else "no host"
        section.add(shared, {}, f"is held by {' and '.join(holders) or known}")
    return section


def workers_section(cluster: Cluster) -> Section:
    """Return a row for each worker program."""
    section = Section(
        "Workers",
        [
            Column("pool", "pool"),
            Column("size", "pool_size"),
            Column("active", "active"),
            Column("reserved", "reserved"),
            Column("done", "done"),
            Column("memory", "memory_bytes", size),
            Column("up for", "uptime_seconds", duration),
            Column("exits", "exits"),
        ],
    )
    same = ("pool", "active", "reserved", "done", "memory_bytes", "uptime_seconds", "exits")
    for host, programs in section.known(cluster.workers, "*@"):
        for name, program in programs.items():
            values = program and values_of(program, same) | {"pool_size": program.concurrency}
            section.add(f"{name}@{host}", values or {}, why_it_does_not_answer(name, program))
    return section


def scheduler_section(cluster: Cluster) -> Section:
    """Return a row for each host of the scheduler."""
    section = Section(
        "Scheduler", [Column("", "state"), Column("last task sent", "last_task_sent_at last_task", _sent, unknown="-")]
    )
    active = []
    for host, said in section.known(cluster.schedulers):
        runs = said.state == "RUNNING"
        acts = runs and (cluster.facts["scheduler"] != "redbeat" or said.locked)
        active += [host] if acts else []
        section.add(
            host,
            {"state": "active" if acts else "standby" if runs else "stopped"}
            | values_of(said, ("last_task_sent_at", "last_task")),
            not runs and f"does not run; there, type {BEAT_LOOK}",
        )
    if cluster.schedulers.parts and not active:
        silent = [host for host in cluster.schedulers.parts if host not in cluster.schedulers.known]
        section.add(
            "schedule",
            {},
            f"no scheduler that answers is active; {' and '.join(silent)} may be"
            if silent
            else "no scheduler is active, so nothing is sent",
        )
    return section


def _sent(at: str, task: str) -> str:
    return f"{at} {task}"


def redis_section(cluster: Cluster) -> Section:
    """Return a row for each Redis instance."""
    section = Section(
        "Redis",
        [
            Column("version", "version"),
            Column("memory", "memory_bytes memory_limit_bytes", share_of),
            Column("keys", "keys"),
            Column("clients", "clients"),
            Column("up for", "uptime_seconds", duration),
        ],
    )
    same = ("version", "memory_bytes", "memory_limit_bytes", "clients", "uptime_seconds")
    for host, instances in section.known(cluster.redis, "*@"):
        answers = Answers({f"{name}@{host}": attempt(answering_redis, said, name) for name, said in instances.items()})
        for name, said in section.known(answers):
            used, limit = said.memory_bytes, said.memory_limit_bytes
            # For one that evicts, full memory is normal.
            may_fill_up = said.eviction_policy == "noeviction" and used is not None and limit
            section.add(
                name,
                values_of(said, same) | {"keys": sum(base.keys for base in said.databases.values())},
                may_fill_up and used > cluster.thresholds["redis_memory_share"] * limit and "its memory is nearly full",
            )
    return section


def flower_section(cluster: Cluster) -> Section:
    """Return a row for each Flower."""
    section = Section("Flower", [Column("workers online", "workers_online workers", "{} of {}".format)])
    wanted = worker_programs(cluster.facts)
    for host, workers in section.known(cluster.flower):
        offline = sorted(name for name, alive in workers.items() if not alive)
        unknown = sorted(name for name in wanted if name not in workers)
        section.add(
            host,
            {"workers_online": len(workers) - len(offline), "workers": len(wanted)},
            offline and f"sees {', '.join(offline)} offline",
            unknown and f"does not know {', '.join(unknown)}; there, type `supervisorctl restart flower-presence`",
        )
    return section


def prometheus_section(cluster: Cluster) -> Section:
    """Return a row for each Prometheus: what it reaches, and what it warns of."""
    section = Section(
        "Prometheus",
        [
            Column("targets", "targets_up targets", "{} of {} up".format),
            Column("alerts", "alerts", lambda alerts: ", ".join(alerts) or "none"),
        ],
    )
    expected = cluster.inventory.known.get("scraped", {})
    wanted = {f"{job} of {name}" for job, names in expected.items() for name in names}
    for host, series in section.known(cluster.prometheus):
        found = [(one.metric, one.value[1]) for one in series]
        up = {f"{m['job']} of {m['instance']}": value == "1" for m, value in found if m.get("__name__") == "up"}
        firing = [metric for metric, _ in found if metric.get("alertstate") == "firing"]
        # What an alert is about, in the order of how much that says.
        about = [next((m[key] for key in ("queue", "worker", "instance") if key in m), "") for m in firing]
        alerts = {f"{metric['alertname']} {name}" for metric, name in zip(firing, about, strict=True)}
        down, missing = sorted(name for name in up if not up[name]), sorted(wanted - up.keys())
        section.add(
            host,
            {"targets_up": sum(up.values()), "targets": len(up.keys() | wanted), "alerts": sorted(alerts)},
            down and f"does not reach {shown(', '.join(down))}",
            missing and f"does not ask {', '.join(missing)}; type `{cluster.facts['commands']['deploy']} prometheus`",
        )
    return section


def database_section(cluster: Cluster) -> Section:
    """Return a row for each database."""
    section = Section(
        "PostgreSQL",
        [Column("version", "version"), Column("size", "size_bytes", size), Column("connections", "connections")],
    )
    for host, server in section.known(cluster.databases):
        for found in server.databases:
            section.add(f"{found.name}@{host}", values_of(found, ("version", "size_bytes", "connections")))
        names = [found.name for found in server.databases]
        for name in cluster.inventory.known.get("databases", []):
            if name not in names:
                repair = f"type `{cluster.facts['commands']['deploy']} postgresql`"
                section.add(f"{name}@{host}", {}, f"there is no such database; {repair}")
    return section


def site_section(cluster: Cluster) -> Section:
    """Return a row for each web server of the project."""
    section = Section("Site", [Column("answers", "status", "{} OK".format)])
    for host, _ in section.known(cluster.sites):
        section.add(host, {"status": 200})
    return section


def certificates_section(cluster: Cluster) -> Section:
    """Return for how long each host's certificate is valid."""
    section = Section(
        "Certificates",
        [Column("valid for", "days", "{:.0f} d".format), Column("authority", "authority_days", "{:.0f} d".format)],
    )
    for host, said in section.known(cluster.certificates):
        short = min(said.host, said.authority) < cluster.thresholds["certificate_days"]
        section.add(
            host,
            {"days": said.host, "authority_days": said.authority},
            short and f"is not valid for long; type `{cluster.facts['commands']['deploy']} certificate`",
        )
    return section


def sections(cluster: Cluster) -> list[Section]:
    """Return the sections of the screen that have rows."""
    found = [
        brokers_section(cluster),
        queues_section(cluster),
        balancers_section(cluster),
        workers_section(cluster),
        scheduler_section(cluster),
        redis_section(cluster),
        flower_section(cluster),
        prometheus_section(cluster),
        database_section(cluster),
        site_section(cluster),
        certificates_section(cluster),
    ]
    return [section for section in found if section.rows]


def status(facts: dict, shown_sections: list[Section]) -> dict[str, Any]:
    """Return the status as a dict that JSON can express, as docs/formats.md says.

    :param shown_sections: what sections() returns.
    """
    parts = {
        section.title: [{"name": name, "problems": problems} | values for name, values, problems in section.rows]
        for section in shown_sections
    }
    lines = [line for part in parts.values() for line in part]
    problems = [f"{line['name']}: {problem}" for line in lines for problem in line["problems"]]
    return {
        "environment": facts["environment"],
        "time": iso_time(facts["time"]),
        "problems": problems,
        "parts": parts,
    }


def screen(found: dict[str, Any], shown_sections: list[Section], verify: str) -> str:
    """Return the text of the screen, with the terminal's colours, from status() and sections().

    :param verify: the command that looks closer.
    """
    lines = [paint(f"{found['environment']}  {found['time']}", BOLD)]
    problems = found["problems"]
    lines.append(
        paint(f"{len(problems)} problems; `{verify}` looks closer", RED) if problems else paint("no problem", GREEN)
    )
    for section in shown_sections:
        table = [[section.title, *(column.heading for column in section.columns)]]
        for name, values, _ in section.rows:
            table.append([name, *(column.cell(values) for column in section.columns if values)])
        width = max(map(len, table))
        # What stands alone on its line does not widen the columns.
        widths = [max(len(row[column]) for row in table if column < len(row)) for column in range(width)]
        head, *rows = [[cell.ljust(widths[column]) for column, cell in enumerate(row)] for row in table]
        lines += ["", paint("  ".join(head).rstrip(), BOLD)]
        for (_, _, wrong), (name, *cells) in zip(section.rows, rows, strict=True):
            lines.append("  ".join([paint(name, RED if wrong else GREEN), *cells]).rstrip())
            lines += [paint(f"  {problem}", RED) for problem in wrong]
    return "\n".join(lines)
