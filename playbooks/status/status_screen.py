"""The screen of playbooks/status.yml: what the parts of a cluster answered, as a text of one screen and as JSON.

Usage: status_screen.py FILE < FACTS.json

Writes the status to FILE as JSON, and prints it with colours. FACTS.json is what status.yml collected:

    environment, scheduler, shared_address -- texts; the address is empty where there is none
    time -- seconds since the epoch
    task_queues -- names of the queues that must exist
    groups -- the hosts of each group of the inventory
    programs -- for each worker host its worker programs, each with a `name`
    answers -- for each host the registered results of the roles' tasks/status.yml, by role; empty where it has no such
        part
"""

import json
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

# How full a store may be before its line is a problem.
FULL_SHARE = 0.9


class NoAnswerError(Exception):
    """A part has not answered; the text says why and what to type."""


@dataclass
class Section:
    """A part of the screen. A row is a name, cells for `columns` (none where nothing is known), and problems."""

    title: str
    columns: list
    rows: list = field(default_factory=list)

    def add(self, name, cells, *problems):
        """Add a line; `problems` are sentences without the name, and empty ones are none."""
        self.rows.append((name, [str(cell) for cell in cells], [problem for problem in problems if problem]))


def output(answer, look):
    """Return what a command printed.

    :param answer: the registered result.
    :param look: what to type where it did not run.
    :raises NoAnswerError: when there is no output.
    """
    if answer.get("unreachable"):
        raise NoAnswerError(f"the host does not answer by SSH ({first_line(answer.get('msg'))})")
    if answer.get("rc") == 0:
        return answer["stdout"]
    late = "timedout" in answer or answer.get("rc") == 124
    reason = "no answer in time" if late else first_line(answer.get("stderr") or answer.get("msg"))
    raise NoAnswerError(f"{reason}; there, type {look}")


def first_line(text):
    """Return the first line that says something, shortened."""
    lines = [line.strip() for line in str(text or "no answer").splitlines() if line.strip(" .,:") not in ("", "Error")]
    return (lines or ["no answer"])[0].rstrip(".,:")[:120]


def size(number):
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def duration(seconds):
    """Return seconds for people, in the two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def read_brokers(facts):
    """Return what each broker said of itself: {host: dict or NoAnswerError}."""
    found = {}
    for host in facts["groups"].get("rabbitmq", []):
        try:
            answer = facts["answers"][host].get("rabbitmq", {})
            if "unable to perform" in answer.get("stderr", ""):
                raise NoAnswerError("does not run; there, type `systemctl status rabbitmq-server`")
            said = output(answer, "`systemctl status rabbitmq-server`")
            # `eval` prints the value of the expression after what it has printed itself.
            found[host] = json.JSONDecoder().raw_decode(said)[0]
            if found[host]["state"] != "running":
                raise NoAnswerError(f"is {found[host]['state']}; there, type `journalctl -u rabbitmq-watchdog`")
        except NoAnswerError as error:
            found[host] = error
    return found


def brokers_section(brokers):
    """Return the brokers' lines."""
    section = Section("Brokers", ["version", "up for", "memory", "disk free", "connections", "leads", "alarms"])
    names = {f"rabbit@{host}" for host in brokers}
    for host, said in brokers.items():
        if isinstance(said, NoAnswerError):
            section.add(host, [], str(said))
            continue
        missing = sorted(names - set(said["running"]))
        section.add(
            host,
            [
                said["version"],
                duration(said["uptime_seconds"]),
                f"{size(said['memory_bytes'])} of {size(said['memory_limit_bytes'])}",
                "unknown" if said["disk_free_bytes"] is None else size(said["disk_free_bytes"]),
                said["connections"],
                len(said["leads"]),
                len(said["alarms"]),
            ],
            said["alarms"] and f"blocks publishers: {', '.join(said['alarms'])}",
            said["partitions"] and f"runs apart from {', '.join(said['partitions'])}",
            missing and f"does not see {', '.join(missing)} running",
        )
    return section


def queues_section(brokers, task_queues, now):
    """Return the lines of the task queues, and one for all others."""
    section = Section(
        "Queues", ["type", "leader", "mirrors", "ready", "unacked", "consumers", "in/s", "out/s", "oldest"]
    )
    answering = {host: said for host, said in brokers.items() if not isinstance(said, NoAnswerError)}
    queues = {queue["name"]: queue | {"leader": host} for host, said in answering.items() for queue in said["leads"]}
    for name in task_queues:
        if name not in queues:
            where = "on the brokers that answer" if len(answering) < len(brokers) else "on any broker"
            section.add(name, [], f"has no leader {where}")
            continue
        queue = queues.pop(name)
        mirrors = [mirror if mirror in queue["synchronised"] else f"{mirror}?" for mirror in sorted(queue["mirrors"])]
        behind = sorted(set(queue["mirrors"]) - set(queue["synchronised"]))
        oldest = queue["oldest_message_time"]
        section.add(
            name,
            [
                queue["type"],
                queue["leader"],
                " ".join(mirrors) or "none",
                queue["ready"],
                queue["unacknowledged"],
                queue["consumers"],
                f"{queue['in_per_second'] or 0:.1f}",
                f"{queue['out_per_second'] or 0:.1f}",
                "-" if oldest is None else f"{duration(int(now - oldest))} ago",
            ],
            queue["consumers"] == 0 and "nobody consumes it",
            behind and f"its copy on {', '.join(behind)} is not in sync yet",
        )
    messages = sum(queue["ready"] + queue["unacknowledged"] for queue in queues.values())
    section.add(f"others: {len(queues)}", ["", "", "", messages])
    return section


def balancers_section(facts):
    """Return a line for each server of each HAProxy."""
    section = Section("HAProxy", ["server", "state", "for", "sessions", "bytes in", "bytes out", "address"])
    holders = []
    for host in facts["groups"].get("haproxy", []):
        answers = facts["answers"][host]
        address, problem = "", ""
        alive = answers.get("keepalived", {})
        # Skipped where this host does not share it.
        if facts["shared_address"] and "skipped" not in alive:
            try:
                # `systemctl is-active` first, then the address; the exit code is that of the second.
                active, *rest = output(alive, "`systemctl status keepalived`").splitlines()
                address = facts["shared_address"] if rest else ""
                problem = active != "active" and "keepalived does not run; there, type `systemctl status keepalived`"
            except NoAnswerError as error:
                problem = str(error)
            holders += [host] if address else []
        page = answers.get("haproxy", {})
        if "servers" not in page:
            reason = first_line(page.get("msg") or "the host was not asked")
            section.add(host, [], f"{reason}; there, type `systemctl status haproxy`", problem)
            continue
        for server in page["servers"]:
            section.add(
                host,
                [
                    f"{server['backend']}/{server['name']}",
                    server["status"],
                    duration(server["since_seconds"]),
                    server["sessions"],
                    size(server["bytes_in"]),
                    size(server["bytes_out"]),
                    address,
                ],
                not server["status"].startswith("UP")
                and f"finds {server['name']} {server['status']} ({server['check'] or 'not checked'})",
                problem,
            )
            # Said once for the host.
            problem = ""
    if facts["shared_address"] and len(holders) != 1:
        section.add(facts["shared_address"], [], f"is held by {' and '.join(holders) or 'no host'}")
    return section


def workers_section(facts):
    """Return a line for each worker program."""
    section = Section("Workers", ["pool", "size", "active", "reserved", "done", "memory", "up for", "exits"])
    for host, programs in facts["programs"].items():
        try:
            said = json.loads(output(facts["answers"][host].get("celery_worker", {}), "`supervisorctl status`"))
        except NoAnswerError as error:
            section.add(f"*@{host}", [], str(error))
            continue
        if all(program["state"] is None for program in said.values()):
            section.add(f"*@{host}", [], "supervisord does not answer; there, type `systemctl status supervisor`")
            continue
        for name in [program["name"] for program in programs]:
            program = said[name]
            see = f"there, type `supervisorctl status {name}` and `tail /var/log/celery/{name}.log`"
            reason = program["error"] or "gives no answer through the broker"
            problem = "" if program["answering"] else f"{reason}; {see}"
            if program["state"] != "RUNNING":
                problem = f"is {program['state'] or 'unknown to supervisord'}; {see}"
            answers = [program.get(key, "-") for key in ("pool", "concurrency", "active", "reserved", "done")]
            memory = size(program["memory_bytes"]) if "memory_bytes" in program else "-"
            section.add(f"{name}@{host}", [*answers, memory, program["uptime"] or "-", program["exits"]], problem)
    return section


def scheduler_section(facts):
    """Return a line for each host of the scheduler."""
    section = Section("Scheduler", ["", "last task sent"])
    active = []
    hosts = facts["groups"].get("celery_beat", [])
    for host in hosts:
        look = "`supervisorctl status beat` and `tail /var/log/celery/beat.log`"
        try:
            said = output(facts["answers"][host].get("celery_beat", {}), look)
        except NoAnswerError as error:
            section.add(host, [], str(error))
            continue
        running = re.search(r"^beat +RUNNING", said, re.M)
        since_start = said.rpartition("beat: Starting")[2]
        acts = running and (facts["scheduler"] != "redbeat" or "Acquired lock" in since_start)
        active += [host] if acts else []
        sent = re.findall(r"^\[([^,]+),.*Sending due task (\S+)", said, re.M)
        section.add(
            host,
            ["active" if acts else "standby" if running else "", " ".join(sent[-1]) if sent else "-"],
            not running and f"does not run; there, type {look}",
        )
    if hosts and not active:
        section.add("schedule", [], "no scheduler is active, so nothing is sent")
    return section


def redis_section(facts):
    """Return a line for each Redis instance."""
    section = Section("Redis", ["version", "memory", "keys", "clients", "up for"])
    for host in facts["groups"].get("redis", [])[:1]:
        results = facts["answers"][host].get("redis", {})
        for result in results.get("results") or [results]:
            name = result.get("item", {}).get("name", "*")
            try:
                said = output(result, f"`systemctl status redis-server@{name}`")
            except NoAnswerError as error:
                section.add(f"{name}@{host}", [], str(error))
                continue
            info = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
            used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
            keys = sum(map(int, re.findall(r"^db\d+:keys=(\d+)", said, re.M)))
            cells = [info.get("redis_version"), f"{size(used)} of {size(limit)}", keys, info.get("connected_clients")]
            section.add(
                f"{name}@{host}",
                [*cells, duration(int(info.get("uptime_in_seconds", 0)))],
                "redis_version" not in info and first_line(said),
                limit and used > FULL_SHARE * limit and "its memory is nearly full",
            )
    return section


def flower_section(facts):
    """Return a line for each Flower."""
    section = Section("Flower", ["workers online"])
    for host in facts["groups"].get("monitoring", []):
        answer = facts["answers"][host].get("flower", {})
        workers = answer.get("json")
        if answer.get("status") != 200 or not isinstance(workers, dict):
            reason = first_line(answer.get("msg") or "no answer")
            section.add(host, [], f"{reason}; there, type `supervisorctl status flower`")
            continue
        # Flower remembers programs that have left the inventory.
        known = {f"{program['name']}@{host}" for host, programs in facts["programs"].items() for program in programs}
        workers = {name: alive for name, alive in workers.items() if name in known}
        offline = sorted(name for name, alive in workers.items() if not alive)
        section.add(
            host, [f"{len(workers) - len(offline)} of {len(workers)}"], offline and f"sees {', '.join(offline)} offline"
        )
    return section


def prometheus_section(facts):
    """Return a line for each Prometheus: what it reaches, and what it warns of."""
    section = Section("Prometheus", ["targets", "alerts"])
    for host in facts["groups"].get("monitoring", []):
        answer = facts["answers"][host].get("prometheus", {})
        if answer.get("status") != 200:
            reason = first_line(answer.get("msg") or "no answer")
            section.add(host, [], f"{reason}; there, type `systemctl status prometheus`")
            continue
        found = [(series["metric"], series["value"][1]) for series in answer["json"]["data"]["result"]]
        up = [value == "1" for metric, value in found if metric["__name__"] == "up"]
        firing = [metric for metric, _ in found if metric.get("alertstate") == "firing"]
        # What an alert is about, in the order of how much that says.
        about = [next((m[key] for key in ("queue", "worker", "instance") if key in m), "") for m in firing]
        alerts = {f"{metric['alertname']} {name}" for metric, name in zip(firing, about, strict=True)}
        section.add(host, [f"{sum(up)} of {len(up)} up", ", ".join(sorted(alerts)) or "none"])
    return section


def database_section(facts):
    """Return a line for each database."""
    section = Section("PostgreSQL", ["version", "size", "connections"])
    for host in facts["groups"].get("postgresql", [])[:1]:
        try:
            said = output(facts["answers"][host].get("postgresql", {}), "`pg_lsclusters`")
        except NoAnswerError as error:
            section.add(host, [], str(error))
            continue
        for line in said.splitlines():
            name, version, connections, bytes_used = line.split(",")
            section.add(f"{name}@{host}", [version, size(int(bytes_used)), connections])
    return section


def site_section(facts):
    """Return a line for each web server of the project."""
    section = Section("Site", ["answers"])
    for host in facts["groups"].get("web", []):
        answer = facts["answers"][host].get("web", {})
        problem = "" if answer.get("status") == 200 else first_line(answer.get("msg"))
        look = "there, type `supervisorctl status web` and `tail /var/log/celery/web.log`"
        section.add(host, [] if problem else ["200 OK"], problem and f"{problem}; {look}")
    return section


def sections(facts):
    """Return the sections of the screen that have lines."""
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


def status(facts, shown):
    """Return the status as a dict that JSON can express.

    It has `environment`, `time`, `problems` (sentences that begin with the name of a part), and `parts`: by section a
    list of lines, each a dict with `name`, `problems` and the section's columns.

    :param shown: what sections() returns.
    """
    parts = {
        section.title: [
            {"name": name, "problems": problems}
            | {column: cell for column, cell in zip(section.columns, cells, strict=False) if column}
            for name, cells, problems in section.rows
        ]
        for section in shown
    }
    lines = [line for part in parts.values() for line in part]
    problems = [f"{line['name']}: {problem}" for line in lines for problem in line["problems"]]
    time = datetime.fromtimestamp(float(facts["time"]), UTC).isoformat(timespec="seconds")
    return {"environment": facts["environment"], "time": time, "problems": problems, "parts": parts}


def paint(text, colour):
    """Return the text in a colour of the terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m"


RED, GREEN, BOLD = 31, 32, 1


def screen(found, shown):
    """Return the text of the screen, with the terminal's colours, from status() and sections()."""
    lines = [paint(f"{found['environment']}  {found['time']}", BOLD)]
    problems = found["problems"]
    lines.append(
        paint(f"{len(problems)} problems; `ansible-playbook playbooks/verify.yml` looks closer", RED)
        if problems
        else paint("no problem", GREEN)
    )
    for section in shown:
        table = [[section.title, *section.columns], *([name, *cells] for name, cells, _ in section.rows)]
        width = max(map(len, table))
        # What stands alone on its line does not widen the columns.
        widths = [max(len(row[column]) for row in table if column < len(row)) for column in range(width)]
        head, *rows = [[cell.ljust(widths[column]) for column, cell in enumerate(row)] for row in table]
        lines += ["", paint("  ".join(head).rstrip(), BOLD)]
        for (_, _, wrong), (name, *cells) in zip(section.rows, rows, strict=True):
            lines.append("  ".join([paint(name, RED if wrong else GREEN), *cells]).rstrip())
            lines += [paint(f"  {problem}", RED) for problem in wrong]
    return "\n".join(lines)


def main():
    """Read the facts, write the JSON, print the screen."""
    facts = json.load(sys.stdin)
    shown = sections(facts)
    found = status(facts, shown)
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2) + "\n")
    print(screen(found, shown))


if __name__ == "__main__":
    main()
