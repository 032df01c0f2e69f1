"""What the hosts answered to playbooks/status/ask.yml, read once for the screen and for the doctor.

The facts, as playbooks/status/vars/facts.yml gives them:

    environment, scheduler, shared_address, vhost -- texts; the address is empty where there is none
    time -- seconds since the epoch
    task_queues -- names of the queues that must exist
    groups -- the hosts of each group of the inventory
    programs -- for each worker host its worker programs, each with a `name` and its `queues`
    answers -- for each host the registered results of the roles' tasks/status.yml, by role; empty where it has no such
        part
    asked -- for each host when it was asked and when it had answered, seconds since the epoch, a pair
    expected -- what the roles' inputs say, or null where no host was asked: `databases`, their names; `scraped`, for
        each job of Prometheus the names of its targets; `policies` and `users` as the role rabbitmq takes them;
        `page_user` (whom management.yml makes), `longest_task_seconds`, `prefetch_multiplier`, `child_memory_kib`
        (0 is no limit), and `arguments`, which every worker program must have
    thresholds -- from where on something is wrong, by the names of inventory/kit/thresholds.yml without
        `cluster_threshold_`
    commands -- what to type for the whole cluster: `verify`, `heal`, `page_off`, and `deploy`, which a tag completes
"""

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class NoAnswerError(Exception):
    """A part has not answered; the text says why and what to type."""


def wrong_thresholds(thresholds: dict) -> list[str]:
    """Return a sentence for each of the facts' thresholds that is no positive number, or a share above 1."""
    sentences = []
    for name, value in thresholds.items():
        most, bounds = (1, "above 0, and 1 at most") if name.endswith("_share") else (math.inf, "above 0")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0 < value <= most):
            sentences.append(f"`cluster_threshold_{name}` is {value!r}; give it a number {bounds}.")
    return sentences


def harmless(text):
    """Return a text as one line that a terminal only shows: whatever is no printable character becomes `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def shown(name):
    """Return a name that a client chose, for a sentence: it cannot look like a command there, either."""
    return harmless(name).replace("`", "'")


def output(answer, look):
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


def read_json(text, look):
    """Return the JSON value that a text begins with.

    :param look: what to type where there is none.
    :raises NoAnswerError: when there is none.
    """
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        raise NoAnswerError(f"the answer is no JSON ({first_line(text)}); there, type {look}") from None


def said_by(facts: dict, host: str, role: str, look: str) -> Any:
    """Return the JSON value that a role's tasks/status.yml had a host print.

    :param look: what to type where there is none.
    :raises NoAnswerError: when there is none.
    """
    return read_json(output(facts["answers"][host].get(role, {}), look), look)


def first_line(text):
    """Return the first line that says something, shortened; of a traceback the last one."""
    lines = [line.strip() for line in str(text or "no answer").splitlines() if line.strip(" .,:") not in ("", "Error")]
    line = (lines or ["no answer"])[-1 if str(text).startswith("Traceback") else 0]
    return shown(line.rstrip(".,:")[:120])


def size(number):
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def read_brokers(facts):
    """Return what each broker said of itself: {host: dict or NoAnswerError}."""
    found = {}
    look = "`systemctl status rabbitmq-server`"
    for host in facts["groups"].get("rabbitmq", []):
        try:
            answer = facts["answers"][host].get("rabbitmq", {})
            if "unable to perform" in answer.get("stderr", ""):
                raise NoAnswerError(f"does not run; there, type {look}")
            # `eval` prints the value of the expression after what it has printed itself.
            found[host] = read_json(output(answer, look), look)
            if found[host]["state"] != "running":
                raise NoAnswerError(f"is {found[host]['state']}; there, type `journalctl -u rabbitmq-watchdog`")
        except NoAnswerError as error:
            found[host] = error
    return found


def names_of(items):
    return [item["name"] for item in items]


def read_programs(facts, host):
    """Return what a worker host says of each of its programs, by name; None for one that it has not heard of.

    :raises NoAnswerError: when it says nothing of any.
    """
    said = said_by(facts, host, "celery_worker", "`supervisorctl status`")
    if said and all(program["state"] is None for program in said.values()):
        raise NoAnswerError("supervisord does not answer; there, type `systemctl status supervisor`")
    return {name: said.get(name) for name in names_of(facts["programs"][host])}


def why_it_does_not_answer(name, program):
    """Return a sentence of a worker program that gives no answer, and what to type; empty where it does.

    :param program: what its host says of it, None for nothing.
    """
    see = f"there, type `supervisorctl status {name}` and `tail /var/log/celery/{name}.log`"
    if program is None:
        return f"the host says nothing of it; {see}"
    if program["state"] != "RUNNING":
        return f"is {program['state'] or 'unknown to supervisord'}; {see}"
    return "" if program["answering"] else f"{shown(program['error'] or 'gives no answer through the broker')}; {see}"


def read_redis(facts: dict, host: str, name: str = "*") -> dict[str, dict]:
    """Return what a host says of each of its instances of Redis, by name.

    :param name: the instance that a sentence names.
    :raises NoAnswerError: when it says nothing of any.
    """
    return said_by(facts, host, "redis", f"`systemctl status redis-server@{name}`")


def answering_redis(instance: dict, name: str) -> dict:
    """Return what a host says of an instance of Redis that answers.

    :raises NoAnswerError: when it does not answer.
    """
    if instance["error"]:
        raise NoAnswerError(f"{first_line(instance['error'])}; there, type `systemctl status redis-server@{name}`")
    return instance


def read_flower(facts, host):
    """Return who is alive as Flower says: {worker: bool}, of the inventory's programs alone.

    Flower remembers programs that have left the inventory.

    :raises NoAnswerError: when it does not answer.
    """
    answer = facts["answers"][host].get("flower", {})
    workers = answer.get("json")
    if answer.get("status") != 200 or not isinstance(workers, dict):
        raise NoAnswerError(f"{first_line(answer.get('msg'))}; there, type `supervisorctl status flower`")
    return {name: workers[name] for name in worker_programs(facts) if name in workers}


def worker_programs(facts):
    """Return the names of the inventory's worker programs, such as `default@w1`."""
    return [f"{program['name']}@{host}" for host, programs in facts["programs"].items() for program in programs]


@dataclass
class Answers:
    """What is known of one kind of part, by name, and for each part that has not told it a sentence why not."""

    known: dict = field(default_factory=dict)
    unknown: list = field(default_factory=list)

    def ask(self, name, read: Callable, *arguments):
        """Note what `read` returns of a part, or why it does not."""
        try:
            self.known[name] = read(*arguments)
        except NoAnswerError as error:
            self.unknown.append(f"{name}: {error}")


class Cluster:
    """The facts, sorted by what they are about. The attributes that are Answers are what a check may need."""

    def __init__(self, facts):
        self.facts = facts
        self.thresholds = facts["thresholds"]
        self.vhost = shlex.quote(facts["vhost"])
        self.brokers = Answers()
        for host, said in read_brokers(facts).items():
            if isinstance(said, NoAnswerError):
                self.brokers.unknown.append(f"{host}: {said}")
            else:
                self.brokers.known[host] = said
        # They share what this needs, so one that answers is enough.
        self.any_broker = Answers(self.brokers.known, [] if self.brokers.known else self.brokers.unknown)
        self.queues = {queue["name"]: queue for said in self.brokers.known.values() for queue in said["leads"]}
        self.hosts = self._of_hosts("host", facts["answers"], "`systemctl status ssh`")
        self.projects = self._of_hosts("celery_app", facts["groups"].get("celery", []), "`supervisorctl status`")
        self._read_programs()
        self._read_locks()
        self.flower = Answers()
        for host in facts["groups"].get("monitoring", []):
            self.flower.ask(host, read_flower, facts, host)
        unasked = [] if facts["expected"] else ["what the inventory wants: no host was asked"]
        self.inventory = Answers(facts["expected"] or {}, unasked)

    def _of_hosts(self, role, hosts, look):
        answers = Answers()
        for host in hosts:
            answers.ask(host, said_by, self.facts, host, role, look)
        return answers

    def _read_programs(self):
        """The worker programs: all, those that run, and those that answer through the broker."""
        self.programs, self.running, self.answering = Answers(), Answers(), Answers()
        hosts = Answers()
        for host in self.facts["programs"]:
            hosts.ask(host, read_programs, self.facts, host)
        for answers in (self.programs, self.running, self.answering):
            answers.unknown += hosts.unknown
        for host, programs in hosts.known.items():
            for name, program in programs.items():
                reason = f"{name}@{host}: {why_it_does_not_answer(name, program)}"
                runs = program is not None and program["state"] == "RUNNING"
                for answers, known in (
                    (self.programs, program is not None and program["state"] is not None),
                    (self.running, runs),
                    (self.answering, runs and program["answering"]),
                ):
                    if known:
                        answers.known[f"{name}@{host}"] = program
                    else:
                        answers.unknown.append(reason)

    def _read_locks(self):
        """The Redis of the locks, as HOST:PORT."""
        self.locks = Answers()
        for host in self.facts["groups"].get("redis", [])[:1]:
            try:
                locks = read_redis(self.facts, host, "locks").get("locks")
                if locks is None:
                    raise NoAnswerError(
                        "the host says nothing of its instance locks; there, type `systemctl status redis-server@locks`"
                    )
            except NoAnswerError as error:
                self.locks.unknown.append(f"{host}: {error}")
            else:
                self.locks.ask(f"{host}:{locks['port']}", answering_redis, locks, "locks")


def paint(text, colour):
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
