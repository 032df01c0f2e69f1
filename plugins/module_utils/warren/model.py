"""What the hosts answered to playbooks/status/ask.yml, read once for the screen and for the doctor.

The facts, as playbooks/status/vars/facts.yml gives them:

    environment, scheduler, shared_address, vhost -- texts; the address is empty where there is none
    time -- seconds since the epoch
    task_queues -- names of the queues that must exist
    groups -- the hosts of each group of the inventory
    programs -- for each worker host its worker programs, each with a `name` and its `queues`
    answers -- for each host what it answered, by role, as the module ask_parts returns it
    asked -- for each host when it was asked and when it had answered, seconds since the epoch, a pair
    expected -- what the roles' inputs say, or null where no host was asked: `databases` and `database_users`, their
        names; `scraped`, for each job of Prometheus the names of its targets; `policies` and `users` as the role
        rabbitmq takes them; `page_user` (whom management.yml makes), `longest_task_seconds`,
        `longest_countdown_seconds`, `prefetch_multiplier`, `child_memory_kib` (0 is no limit), and `arguments`, which
        every worker program must have
    thresholds -- from where on something is wrong, by the names of inventory/kit/thresholds.yml without
        `cluster_threshold_`
    commands -- what to type for the whole cluster: `verify`, `heal`, `parked`, `page_off`, and `deploy`, which a tag
        completes
"""

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

Part = TypeVar("Part")


class NoAnswerError(Exception):
    """A part has not answered; the text says why and what to type."""


# What the parts answer. A role's files/status.py, or what its vars/status.yml asks, describes the fields; None is not
# known.


@dataclass
class Host:
    time: float
    inodes_used: tuple[float, str]
    conntrack_used: float | None
    kernel_wrong: list[str]
    firewall: str
    unconfined: list[str]
    unresolved: list[str]


@dataclass
class Queue:
    name: str
    type: str
    answers: bool
    # None for a queue whose process has ended, or that does not answer.
    ready: int | None
    unacknowledged: int | None
    consumers: int | None
    in_per_second: float | None
    out_per_second: float | None
    oldest_message_time: float | None
    ttl_milliseconds: float | None
    max_length: float | None
    expires_milliseconds: float | None
    mirrors: list[str]
    synchronised: list[str]


@dataclass
class Policy:
    name: str
    pattern: str
    priority: int
    definition: dict


@dataclass
class Permission:
    user: str
    configure: str
    write: str
    read: str


@dataclass
class User:
    user: str
    tags: list[str]


@dataclass
class Node:
    state: str


@dataclass
class Broker(Node):
    version: str
    uptime_seconds: int
    members: list[str]
    running: list[str]
    partitions: list[str]
    alarms: list[str]
    memory_bytes: int
    memory_limit_bytes: int
    disk_free_bytes: int | None
    disk_limit_bytes: int
    connections: int
    waiting_connections: int
    consumer_timeout_milliseconds: float | None
    file_handles: int
    file_handles_limit: int | None
    plugins: list[str]
    policies: list[Policy]
    permissions: list[Permission]
    users: list[User]
    leads: list[Queue]


@dataclass
class Server:
    backend: str
    name: str
    status: str
    check: str
    sessions: int
    bytes_in: int
    bytes_out: int
    since_seconds: int


@dataclass
class Keepalived:
    state: str
    holds_address: bool


@dataclass
class Certificates:
    host: float
    authority: float
    fits: bool


@dataclass
class Settings:
    wanted: str
    running: str | None


@dataclass
class Project:
    release: str | None
    programs: dict[str, Settings]


@dataclass
class Program:
    state: str | None
    uptime_seconds: int | None
    exits: int
    arguments: list[str] | None
    memory_bytes: int | None
    zombies: int | None
    largest_child_bytes: int | None
    answering: bool
    error: str | None
    idle: str | None
    pool: str | None
    concurrency: int | None
    prefetch: int | None
    active: int | None
    reserved: int | None
    done: int | None

    @property
    def runs(self) -> bool:
        """Whether it runs and its processes are known."""
        return self.state == "RUNNING" and self.arguments is not None and self.largest_child_bytes is not None


@dataclass
class Scheduler:
    state: str | None
    error: str | None
    locked: bool
    looks_at: float | None
    last_task_sent_at: str | None
    last_task: str | None


@dataclass
class Keys:
    keys: int
    expire: int


@dataclass
class Redis:
    port: int
    error: str | None
    version: str | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    eviction_policy: str | None
    clients: int | None
    uptime_seconds: int | None
    databases: dict[str, Keys]


@dataclass
class Series:
    metric: dict[str, str]
    value: tuple[float, str]


@dataclass
class Result:
    result: list[Series]


@dataclass
class Query:
    data: Result


@dataclass
class Database:
    name: str
    version: str
    size_bytes: int
    connections: int


@dataclass
class DatabaseServer:
    databases: list[Database]
    # Beside `postgres`.
    superusers: list[str]
    # Those who may log in and have rights to one of the inventory's databases.
    users: list[str]


def wrong_thresholds(thresholds: dict) -> list[str]:
    """Return a sentence for each of the facts' thresholds that is no positive number, or a share above 1."""
    sentences = []
    for name, value in thresholds.items():
        most, bounds = (1, "above 0, and 1 at most") if name.endswith("_share") else (math.inf, "above 0")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0 < value <= most):
            sentences.append(f"`cluster_threshold_{name}` is {value!r}; give it a number {bounds}.")
    return sentences


def harmless(text: object) -> str:
    """Return a text as one line that a terminal only shows: whatever is no printable character becomes `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def shown(name: object) -> str:
    """Return a name that a client chose, for a sentence: it cannot look like a command there, either."""
    return harmless(name).replace("`", "'")


def output(answer: dict, look: str) -> str:
    """Return what a command printed.

    :param answer: the registered result.
    :param look: what to type where it did not run.
    :raises NoAnswerError: when there is no output.
    """
    if answer.get("unreachable"):
        raise NoAnswerError(
            f"the host does not answer by SSH ({first_line(answer.get('msg'))}); type `ssh` and its address"
        )
    if answer.get("rc") == 0:
        return answer["stdout"]
    late = "timedout" in answer or answer.get("rc") == 124
    reason = "no answer in time" if late else first_line(answer.get("stderr") or answer.get("msg"))
    raise NoAnswerError(f"{reason}; there, type {look}")


def read_json(text: str, look: str) -> Any:
    """Return the JSON value that a text begins with.

    :param look: what to type where there is none.
    :raises NoAnswerError: when there is none.
    """
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        raise NoAnswerError(f"the answer is no JSON ({first_line(text)}); there, type {look}") from None


ABSENT = object()
hints_of = cache(get_type_hints)


def typed(kind: Any, value: Any, look: str, name: str = "") -> Any:
    """Return a JSON value as a type hint says: of a dict, a dataclass has the fields that it knows.

    :param kind: a dataclass, a list, dict, tuple or union of some, or a type of JSON.
    :param look: what to type where the value is another.
    :param name: where in the answer the value is, for the sentence.
    :raises NoAnswerError: when a field is missing or is of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    within = name and f"{name}."
    if is_dataclass(kind) and isinstance(value, dict):
        hints = hints_of(kind).items()
        return kind(**{key: typed(hint, value.get(key, ABSENT), look, within + key) for key, hint in hints})
    if origin is list and isinstance(value, list):
        return [typed(inner[0], item, look, name) for item in value]
    if origin is dict and isinstance(value, dict):
        return {key: typed(inner[1], item, look, within + key) for key, item in value.items()}
    if origin is tuple and isinstance(value, list) and len(value) == len(inner):
        return tuple(typed(hint, item, look, name) for hint, item in zip(inner, value, strict=True))
    if isinstance(kind, UnionType):
        for hint in inner:
            with suppress(NoAnswerError):
                return typed(hint, value, look, name)
    # To Python, a boolean is a number.
    elif not origin and isinstance(value, bool) == (kind is bool):
        kinds = int | float if kind is float else kind
        if isinstance(value, kinds):
            return value
    raise NoAnswerError(f"the answer lacks {shown(name) or 'everything'}; there, type {look}")


def said_by(facts: dict, host: str, role: str, look: str, kind: Any) -> Any:
    """Return what a role's vars/status.yml had a host print as JSON.

    :param look: what to type where it cannot be read.
    :param kind: as typed() takes it.
    :raises NoAnswerError: when it cannot be read.
    """
    return typed(kind, read_json(output(facts["answers"][host].get(role, {}), look), look), look)


def page_of(facts: dict, host: str, role: str, look: str) -> dict:
    """Return the answer of a page that a role's vars/status.yml names.

    :raises NoAnswerError: when the page is not there.
    """
    answer = facts["answers"][host].get(role, {})
    if answer.get("status") != 200:
        raise NoAnswerError(f"{first_line(answer.get('msg'))}; there, type {look}")
    return answer


def first_line(text: object) -> str:
    """Return the first line that says something, shortened; of a traceback the last one."""
    lines = [line.strip() for line in str(text or "no answer").splitlines() if line.strip(" .,:") not in ("", "Error")]
    line = (lines or ["no answer"])[-1 if str(text).startswith("Traceback") else 0]
    return shown(line.rstrip(".,:")[:120])


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def read_broker(facts: dict, host: str) -> Broker:
    """Return what a broker that runs says of itself.

    :raises NoAnswerError: when it does not answer or does not run.
    """
    look = "`systemctl status rabbitmq-server`"
    if "unable to perform" in facts["answers"][host].get("rabbitmq", {}).get("stderr", ""):
        raise NoAnswerError(f"does not run; there, type {look}")
    # One that boots says nothing else. The value of the expression, which `eval` prints, comes after the JSON.
    said = said_by(facts, host, "rabbitmq", look, dict)
    state = typed(Node, said, look).state
    if state != "running":
        raise NoAnswerError(f"is {state}; there, type `journalctl -u rabbitmq-watchdog`")
    return typed(Broker, said, look)


def names_of(items: Iterable[dict]) -> list[str]:
    return [item["name"] for item in items]


def read_servers(facts: dict, host: str) -> list[Server]:
    """Return the servers of a host's HAProxy.

    :raises NoAnswerError: when its page cannot be read.
    """
    page, look = facts["answers"][host].get("haproxy", {}), "`systemctl status haproxy`"
    if "servers" not in page:
        raise NoAnswerError(f"{first_line(page.get('msg') or 'the host was not asked')}; there, type {look}")
    return typed(list[Server], page["servers"], look)


def read_programs(facts: dict, host: str) -> dict[str, Program | None]:
    """Return what a worker host says of each of its programs, by name; None for one that it has not heard of.

    :raises NoAnswerError: when it says nothing of any.
    """
    said = said_by(facts, host, "celery_worker", "`supervisorctl status`", dict[str, Program])
    if said and all(program.state is None for program in said.values()):
        raise NoAnswerError("supervisord does not answer; there, type `systemctl status supervisor`")
    return {name: said.get(name) for name in names_of(facts["programs"][host])}


def why_it_does_not_answer(name: str, program: Program | None) -> str:
    """Return a sentence of a worker program that gives no answer, and what to type; empty where it does.

    :param program: what its host says of it, None for nothing.
    """
    see = f"there, type `supervisorctl status {name}` and `tail /var/log/celery/{name}.log`"
    if program is None:
        return f"the host says nothing of it; {see}"
    if program.state != "RUNNING":
        return f"is {program.state or 'unknown to supervisord'}; {see}"
    if not program.runs:
        return f"its processes have ended meanwhile; {see}"
    return "" if program.answering else f"{shown(program.error or 'gives no answer through the broker')}; {see}"


BEAT_LOOK = "`supervisorctl status beat` and `tail /var/log/celery/beat.log`"


def read_scheduler(facts: dict, host: str) -> Scheduler:
    """Return what a host says of its scheduler.

    :raises NoAnswerError: when it does not say whether it runs.
    """
    said = said_by(facts, host, "celery_beat", BEAT_LOOK, Scheduler)
    if said.state is None:
        reason = f"supervisord does not say whether it runs ({first_line(said.error)})"
        raise NoAnswerError(f"{reason}; there, type {BEAT_LOOK}")
    return said


def read_redis(facts: dict, host: str, name: str = "*") -> dict[str, Redis]:
    """Return what a host says of each of its instances of Redis, by name.

    :param name: the instance that a sentence names.
    :raises NoAnswerError: when it says nothing of any.
    """
    return said_by(facts, host, "redis", f"`systemctl status redis-server@{name}`", dict[str, Redis])


def answering_redis(instance: Redis, name: str) -> Redis:
    """Return what a host says of an instance of Redis that answers.

    :raises NoAnswerError: when it does not answer.
    """
    if instance.error:
        raise NoAnswerError(f"{first_line(instance.error)}; there, type `systemctl status redis-server@{name}`")
    return instance


def read_flower(facts: dict, host: str) -> dict[str, bool]:
    """Return who is alive as Flower says, of the inventory's programs alone.

    Flower remembers programs that have left the inventory.

    :raises NoAnswerError: when it does not answer.
    """
    look = "`supervisorctl status flower`"
    workers = typed(dict[str, bool], page_of(facts, host, "flower", look).get("json"), look)
    return {name: workers[name] for name in worker_programs(facts) if name in workers}


def read_prometheus(facts: dict, host: str) -> list[Series]:
    """Return the series `up` and `ALERTS` of a host's Prometheus.

    :raises NoAnswerError: when it does not answer.
    """
    look = "`systemctl status prometheus`"
    return typed(Query, page_of(facts, host, "prometheus", look).get("json"), look).data.result


def worker_programs(facts: dict) -> list[str]:
    """Return the names of the inventory's worker programs, such as `default@w1`."""
    return [f"{program['name']}@{host}" for host, programs in facts["programs"].items() for program in programs]


def attempt(read: Callable[..., Part], *arguments: Any) -> Part | NoAnswerError:
    """Return what `read` returns of a part, or why it does not."""
    try:
        return read(*arguments)
    except NoAnswerError as error:
        return error


@dataclass
class Answers(Generic[Part]):
    """The parts of one kind by name: what is known of each, or why nothing is."""

    parts: dict[str, Part | NoAnswerError] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, Part]:
        """Those that have answered."""
        return {name: part for name, part in self.parts.items() if not isinstance(part, NoAnswerError)}

    @property
    def unknown(self) -> list[str]:
        """For each other a sentence with its name."""
        return [f"{name}: {part}" for name, part in self.parts.items() if isinstance(part, NoAnswerError)]


# Where workers and brokers put what cannot be done; roles/celery_app/files/celeryparking.py says what.
PARKED = "warren-parked"
# Where tasks with a countdown wait on quorum queues.
DELAY_QUEUE = re.compile(r"celery_delayed_\d+")


class Cluster:
    """The facts, read and sorted by what they are about."""

    def __init__(self, facts: dict):
        self.facts = facts
        self.thresholds: dict[str, float] = facts["thresholds"]
        self.vhost = shlex.quote(facts["vhost"])
        groups, answers = facts["groups"], facts["answers"]
        self.brokers: Answers[Broker] = self._read(groups.get("rabbitmq", []), read_broker)
        # They share what this needs, so one that answers is enough.
        self.any_broker = Answers(self.brokers.known or self.brokers.parts)
        led = [(queue, host) for host, said in self.brokers.known.items() for queue in said.leads]
        self.queues = {queue.name: queue for queue, _ in led if queue.ready is not None}
        self.leaders = {queue.name: host for queue, host in led}
        self.crashed = {queue.name: host for queue, host in led if queue.ready is None and queue.answers}
        self.stuck = {queue.name: host for queue, host in led if not queue.answers}
        balancers = groups.get("haproxy", [])
        self.servers: Answers[list[Server]] = self._read(balancers, read_servers)
        # A HAProxy beside a program of the project does not share the address.
        sharing = [host for host in balancers if "keepalived" in answers[host]]
        look = "`systemctl status keepalived`"
        self.keepalived: Answers[Keepalived] = self._read(
            sharing if facts["shared_address"] else [], said_by, "keepalived", look, Keepalived
        )
        self.hosts: Answers[Host] = self._read(answers, said_by, "host", "`systemctl status ssh`", Host)
        # Without TLS, no host has one.
        certified = [host for host, said in answers.items() if not said or "certificate" in said]
        look = "`ls -l /etc/ssl/warren`"
        self.certificates: Answers[Certificates] = self._read(certified, said_by, "certificate", look, Certificates)
        look = "`supervisorctl status`"
        self.projects: Answers[Project] = self._read(groups.get("celery", []), said_by, "celery_app", look, Project)
        self.workers: Answers[dict[str, Program | None]] = self._read(facts["programs"], read_programs)
        self._sort_programs()
        self.schedulers: Answers[Scheduler] = self._read(groups.get("celery_beat", []), read_scheduler)
        self.redis: Answers[dict[str, Redis]] = self._read(groups.get("redis", [])[:1], read_redis)
        self.locks = self._locks()
        self.flower: Answers[dict[str, bool]] = self._read(groups.get("monitoring", []), read_flower)
        self.prometheus: Answers[list[Series]] = self._read(groups.get("monitoring", []), read_prometheus)
        self.databases: Answers[DatabaseServer] = self._read(
            groups.get("postgresql", [])[:1], said_by, "postgresql", "`pg_lsclusters`", DatabaseServer
        )
        look = "`supervisorctl status web` and `tail /var/log/celery/web.log`"
        self.sites: Answers[dict] = self._read(groups.get("web", []), page_of, "web", look)
        unasked = {"what the inventory wants": NoAnswerError("no host was asked")}
        self.inventory: Answers[Any] = Answers(facts["expected"] or unasked)

    def _read(self, hosts: Iterable[str], read: Callable, *arguments: Any) -> Answers:
        return Answers({host: attempt(read, self.facts, host, *arguments) for host in hosts})

    def _sort_programs(self) -> None:
        """The worker programs: all, those that run, and those that answer through the broker."""
        self.programs, self.running, self.answering = Answers[Program](), Answers[Program](), Answers[Program]()
        for host, programs in self.workers.parts.items():
            if isinstance(programs, NoAnswerError):
                for answers in (self.programs, self.running, self.answering):
                    answers.parts[host] = programs
                continue
            for name, program in programs.items():
                reason = NoAnswerError(why_it_does_not_answer(name, program))
                runs = program is not None and program.runs
                for answers, known in (
                    (self.programs, program is not None and program.state is not None),
                    (self.running, runs),
                    (self.answering, runs and program.answering),
                ):
                    answers.parts[f"{name}@{host}"] = program if known else reason

    def _locks(self) -> Answers[Redis]:
        """The Redis of the locks, as HOST:PORT."""
        for host in self.redis.parts:
            try:
                locks = read_redis(self.facts, host, "locks").get("locks")
            except NoAnswerError as error:
                return Answers({host: error})
            if locks is None:
                look = "there, type `systemctl status redis-server@locks`"
                return Answers({host: NoAnswerError(f"the host says nothing of its instance locks; {look}")})
            return Answers({f"{host}:{locks.port}": attempt(answering_redis, locks, "locks")})
        return Answers()


def paint(text: str, colour: int) -> str:
    """Return the text in a colour of the terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m"


RED, GREEN, YELLOW, BOLD = 31, 32, 33, 1


def iso_time(seconds: float | str) -> str:
    """Return seconds since the epoch as UTC, as of ISO 8601."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")


def write_json(file: Path, found: dict) -> None:
    """Write a dict to a file as JSON, and make its folder where it is missing.

    :raises OSError: when that is not possible.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=2) + "\n")
