"""The screen of playbooks/status.yml: what the parts of a cluster answered, as a text of one screen and as JSON.

The JSON is described in docs/formats.md; model.py says what the facts are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from warren.model import (
    BOLD,
    GREEN,
    RED,
    NoAnswerError,
    answering_redis,
    first_line,
    harmless,
    iso_time,
    names_of,
    paint,
    read_brokers,
    read_flower,
    read_programs,
    read_redis,
    said_by,
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

    def cell(self, values):
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
    columns: list
    rows: list = field(default_factory=list)

    def add(self, name, values, *problems):
        """Add a row; `problems` are sentences without the name, and empty ones are none."""
        self.rows.append((harmless(name), values, [harmless(problem) for problem in problems if problem]))


def duration(seconds):
    """Return seconds for people, in the two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def share_of(used, limit):
    """Return a use of memory for people; a limit of 0 is none."""
    return f"{size(used)} of {size(limit)}" if limit else f"{size(used)}, no limit"


def brokers_section(brokers):
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
    names = {f"rabbit@{host}" for host in brokers}
    same = ("version", "uptime_seconds", "memory_bytes", "memory_limit_bytes", "disk_free_bytes", "connections")
    for host, said in brokers.items():
        if isinstance(said, NoAnswerError):
            section.add(host, {}, str(said))
            continue
        missing = sorted(names - set(said["running"]))
        section.add(
            host,
            {key: said[key] for key in same} | {"leads": len(said["leads"]), "alarms": said["alarms"]},
            said["alarms"] and f"blocks publishers: {', '.join(map(shown, said['alarms']))}",
            said["partitions"] and f"runs apart from {', '.join(map(shown, said['partitions']))}",
            missing and f"does not see {', '.join(missing)} running",
        )
    return section


def queues_section(brokers, task_queues, now):
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
    answering = {host: said for host, said in brokers.items() if not isinstance(said, NoAnswerError)}
    silent = [host for host in brokers if host not in answering]
    queues = {queue["name"]: queue | {"leader": host} for host, said in answering.items() for queue in said["leads"]}
    for name in task_queues:
        if name not in queues:
            where = f"on the brokers that answer; {' and '.join(silent)} may have it" if silent else "on any broker"
            section.add(name, {}, f"has no leader {where}")
            continue
        queue = queues.pop(name)
        behind = sorted(set(queue["mirrors"]) - set(queue["synchronised"]))
        oldest = queue["oldest_message_time"]
        same = ("type", "leader", "ready", "unacknowledged", "consumers", "in_per_second", "out_per_second")
        section.add(
            name,
            {key: queue[key] for key in same}
            | {"mirrors": sorted(queue["mirrors"]), "behind": behind}
            | {"oldest_message_age_seconds": None if oldest is None else int(now - oldest)},
            queue["consumers"] == 0 and "nobody consumes it",
            behind and f"its copy on {', '.join(map(shown, behind))} is not in sync yet",
        )
    others = list(queues.values())
    section.add(
        f"others: {len(others)}",
        {key: sum(queue[key] for queue in others) for key in ("ready", "unacknowledged")} | {"queues": len(others)},
        silent and f"those that {' and '.join(silent)} may have are not counted",
    )
    return section


def _mirrors(mirrors, behind):
    return " ".join(f"{mirror}?" if mirror in behind else mirror for mirror in mirrors) or "none"


def balancers_section(facts):
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
    holders, silent = [], []
    for host in facts["groups"].get("haproxy", []):
        answers = facts["answers"][host]
        address, problem = "", ""
        alive = answers.get("keepalived", {})
        # Skipped where this host does not share it.
        if facts["shared_address"] and "skipped" not in alive:
            try:
                look = "`systemctl status keepalived`"
                said = said_by(facts, host, "keepalived", look)
                address = facts["shared_address"] if said["holds_address"] else ""
                problem = said["state"] != "active" and f"keepalived does not run; there, type {look}"
            except NoAnswerError as error:
                problem = f"keepalived: {error}"
                silent.append(host)
            holders += [host] if address else []
        page = answers.get("haproxy", {})
        if "servers" not in page:
            reason = first_line(page.get("msg") or "the host was not asked")
            section.add(host, {}, f"{reason}; there, type `systemctl status haproxy`", problem)
            continue
        unknown = [broker for broker in facts["groups"]["rabbitmq"] if broker not in names_of(page["servers"])]
        if unknown:
            repair = f"type `{facts['commands']['deploy']} haproxy`"
            section.add(host, {}, f"knows no server {' and '.join(unknown)}; {repair}", problem)
            problem = ""
        for server in page["servers"]:
            section.add(
                host,
                {
                    "server": f"{server['backend']}/{server['name']}",
                    "state": server["status"],
                    "state_seconds": server["since_seconds"],
                    "sessions": server["sessions"],
                    "bytes_in": server["bytes_in"],
                    "bytes_out": server["bytes_out"],
                    "address": address,
                },
                not server["status"].startswith("UP")
                and f"finds {shown(server['name'])} {server['status']} ({shown(server['check'] or 'not checked')})",
                problem,
            )
            # Said once for the host.
            problem = ""
    if facts["shared_address"] and len(holders) != 1:
        known = f"no host that answers; {' and '.join(silent)} may have it" if silent else "no host"
        section.add(facts["shared_address"], {}, f"is held by {' and '.join(holders) or known}")
    return section


def workers_section(facts):
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
    for host, programs in facts["programs"].items():
        try:
            said = read_programs(facts, host)
        except NoAnswerError as error:
            section.add(f"*@{host}", {}, str(error))
            continue
        for name in names_of(programs):
            program = said[name]
            if program is None:
                section.add(f"{name}@{host}", {}, why_it_does_not_answer(name, program))
                continue
            same = ("pool", "active", "reserved", "done", "memory_bytes", "uptime_seconds", "exits")
            section.add(
                f"{name}@{host}",
                {key: program.get(key) for key in same} | {"pool_size": program.get("concurrency")},
                why_it_does_not_answer(name, program),
            )
    return section


def scheduler_section(facts):
    """Return a row for each host of the scheduler."""
    section = Section(
        "Scheduler", [Column("", "state"), Column("last task sent", "last_task_sent_at last_task", _sent, unknown="-")]
    )
    active, silent = [], []
    hosts = facts["groups"].get("celery_beat", [])
    for host in hosts:
        look = "`supervisorctl status beat` and `tail /var/log/celery/beat.log`"
        try:
            said = said_by(facts, host, "celery_beat", look)
            if said["state"] is None:
                reason = first_line(said["error"])
                raise NoAnswerError(f"supervisord does not say whether it runs ({reason}); there, type {look}")
        except NoAnswerError as error:
            section.add(host, {}, str(error))
            silent.append(host)
            continue
        runs = said["state"] == "RUNNING"
        acts = runs and (facts["scheduler"] != "redbeat" or said["locked"])
        active += [host] if acts else []
        section.add(
            host,
            {"state": "active" if acts else "standby" if runs else "stopped"}
            | {key: said[key] for key in ("last_task_sent_at", "last_task")},
            not runs and f"does not run; there, type {look}",
        )
    if hosts and not active:
        section.add(
            "schedule",
            {},
            f"no scheduler that answers is active; {' and '.join(silent)} may be"
            if silent
            else "no scheduler is active, so nothing is sent",
        )
    return section


def _sent(at, task):
    return f"{at} {task}"


def redis_section(facts):
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
    for host in facts["groups"].get("redis", [])[:1]:
        try:
            instances = read_redis(facts, host)
        except NoAnswerError as error:
            section.add(f"*@{host}", {}, str(error))
            continue
        same = ("version", "memory_bytes", "memory_limit_bytes", "clients", "uptime_seconds")
        for name, instance in instances.items():
            try:
                said = answering_redis(instance, name)
            except NoAnswerError as error:
                section.add(f"{name}@{host}", {}, str(error))
                continue
            used, limit = said["memory_bytes"], said["memory_limit_bytes"]
            most = facts["thresholds"]["redis_memory_share"]
            # For one that evicts, full memory is normal.
            may_fill_up = said["eviction_policy"] == "noeviction" and used is not None and limit
            section.add(
                f"{name}@{host}",
                {key: said[key] for key in same} | {"keys": sum(base["keys"] for base in said["databases"].values())},
                may_fill_up and used > most * limit and "its memory is nearly full",
            )
    return section


def flower_section(facts):
    """Return a row for each Flower."""
    section = Section("Flower", [Column("workers online", "workers_online workers", "{} of {}".format)])
    wanted = worker_programs(facts)
    for host in facts["groups"].get("monitoring", []):
        try:
            workers = read_flower(facts, host)
        except NoAnswerError as error:
            section.add(host, {}, str(error))
            continue
        offline = sorted(name for name, alive in workers.items() if not alive)
        unknown = sorted(name for name in wanted if name not in workers)
        section.add(
            host,
            {"workers_online": len(workers) - len(offline), "workers": len(wanted)},
            offline and f"sees {', '.join(offline)} offline",
            unknown and f"does not know {', '.join(unknown)}; there, type `supervisorctl restart flower-presence`",
        )
    return section


def prometheus_section(facts):
    """Return a row for each Prometheus: what it reaches, and what it warns of."""
    section = Section(
        "Prometheus",
        [
            Column("targets", "targets_up targets", "{} of {} up".format),
            Column("alerts", "alerts", lambda alerts: ", ".join(alerts) or "none"),
        ],
    )
    wanted = {
        f"{job} of {name}" for job, names in (facts["expected"] or {"scraped": {}})["scraped"].items() for name in names
    }
    for host in facts["groups"].get("monitoring", []):
        answer = facts["answers"][host].get("prometheus", {})
        if answer.get("status") != 200:
            section.add(host, {}, f"{first_line(answer.get('msg'))}; there, type `systemctl status prometheus`")
            continue
        found = [(series["metric"], series["value"][1]) for series in answer["json"]["data"]["result"]]
        up = {f"{m['job']} of {m['instance']}": value == "1" for m, value in found if m["__name__"] == "up"}
        firing = [metric for metric, _ in found if metric.get("alertstate") == "firing"]
        # What an alert is about, in the order of how much that says.
        about = [next((m[key] for key in ("queue", "worker", "instance") if key in m), "") for m in firing]
        alerts = {f"{metric['alertname']} {name}" for metric, name in zip(firing, about, strict=True)}
        down, missing = sorted(name for name in up if not up[name]), sorted(wanted - up.keys())
        section.add(
            host,
            {"targets_up": sum(up.values()), "targets": len(up.keys() | wanted), "alerts": sorted(alerts)},
            down and f"does not reach {shown(', '.join(down))}",
            missing and f"does not ask {', '.join(missing)}; type `{facts['commands']['deploy']} prometheus`",
        )
    return section


def database_section(facts):
    """Return a row for each database."""
    section = Section(
        "PostgreSQL",
        [Column("version", "version"), Column("size", "size_bytes", size), Column("connections", "connections")],
    )
    for host in facts["groups"].get("postgresql", [])[:1]:
        try:
            databases = said_by(facts, host, "postgresql", "`pg_lsclusters`")
        except NoAnswerError as error:
            section.add(host, {}, str(error))
            continue
        for found in databases:
            values = {key: found[key] for key in ("version", "size_bytes", "connections")}
            section.add(f"{found['name']}@{host}", values)
        for name in (facts["expected"] or {"databases": []})["databases"]:
            if name not in names_of(databases):
                repair = f"type `{facts['commands']['deploy']} postgresql`"
                section.add(f"{name}@{host}", {}, f"there is no such database; {repair}")
    return section


def site_section(facts):
    """Return a row for each web server of the project."""
    section = Section("Site", [Column("answers", "status", "{} OK".format)])
    for host in facts["groups"].get("web", []):
        answer = facts["answers"][host].get("web", {})
        if answer.get("status") == 200:
            section.add(host, {"status": 200})
            continue
        look = "there, type `supervisorctl status web` and `tail /var/log/celery/web.log`"
        section.add(host, {}, f"{first_line(answer.get('msg'))}; {look}")
    return section


def sections(facts):
    """Return the sections of the screen that have rows."""
    brokers = read_brokers(facts)
    found = [
        brokers_section(brokers),
        queues_section(brokers, facts["task_queues"], facts["time"]),
        balancers_section(facts),
        workers_section(facts),
        scheduler_section(facts),
        redis_section(facts),
        flower_section(facts),
        prometheus_section(facts),
        database_section(facts),
        site_section(facts),
    ]
    return [section for section in found if section.rows]


def status(facts, shown_sections):
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


def screen(found, shown_sections, verify):
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
