"""One testinfra suite for every scenario, and for production: give it the inventories with `--ansible-inventory=A,B`.

Tests ask for hosts by kind (the keys of GROUP_OF_KIND; `member` is any host) and run once for each host of that kind.
What a host should be is asked of Ansible, not typed again: `member.expect("rabbitmq_vhost")`.
Tests that break or change something are marked `disruptive`, those that need the hosts and the project of lab.yml
`cluster`, those that need the Django example `django`, and those that take more than a minute `lengthy`;
`-m "not disruptive"` leaves the first out.
"""

import base64
import dataclasses
import functools
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from operator import itemgetter
from pathlib import Path

import kit
import pytest
import yaml
from testinfra.host import Host
from testinfra.utils.ansible_runner import AnsibleRunner

PROJECT = Path(__file__).resolve().parents[2]
GROUP_OF_KIND = {
    "member": "all",
    "broker": "rabbitmq",
    "balancer": "haproxy",
    "worker": "celery_workers",
    "publisher": "celery_publishers",
    "store": "redis",
    "scheduler": "celery_beat",
    "monitor": "monitoring",
    "database": "postgresql",
    "site": "web",
}
RUN_SECONDS = 540
# The names of all secrets that the kit generates.
SECRETS = [name for name in kit.kit_variables("secrets") if name.startswith("secret_")]


@dataclasses.dataclass(frozen=True)
class Member:
    """A host of the cluster: its name and address in the inventory, and testinfra's connection to it."""

    name: str
    address: str
    host: Host
    expected: dict

    def expect(self, variable):
        """The value that Ansible gives to `variable` on this host, role defaults included."""
        return self.expected[variable]

    @property
    def scheme(self):
        """How the pages and metrics of this host are read."""
        return "https" if self.expect("exporter_tls") else "http"

    def page(self, place, login="", data=None):
        """The answer of a page on this host, at ADDRESS:PORT/PATH, to `login`, USER:PASSWORD; a POST with data.

        Raises HTTPError where the page refuses. With TLS the certificate is verified.
        """
        request = urllib.request.Request(f"{self.scheme}://{place}", data=data.encode() if data else None)
        if login:
            request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        authority = self.expect("certificate_authority") if self.scheme == "https" else None
        context = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.read().decode()

    def python(self, script, *arguments):
        """Run a Python script on this host, which knows the cluster's certificates, and return what it prints."""
        words = " ".join(["env SSL_CERT_FILE=/etc/ssl/warren/ca.crt python3 -c %s", *["%s"] * len(arguments)])
        return self.run(words, script, *arguments)

    def run(self, command, *arguments, seconds=60):
        """Run `command` as root and return its standard output; fails when it does, or takes longer than `seconds`."""
        return self.host.check_output(f"timeout {seconds} " + command, *arguments)

    def pid(self, program):
        """The main process of a program of supervisord."""
        return self.run(f"supervisorctl pid {program}")

    def children(self, program):
        """The processes that a program of supervisord has started."""
        return self.run(f"sh -c 'pgrep --parent {self.pid(program)} || true'").split()

    def redis_cli(self, instance, *words):
        """What redis-cli answers on a Redis host, with the password; `instance` is an entry of redis_instances."""
        return self.run(shlex.join(["redis-ask", instance["name"], *words]))

    def app(self, *argv, seconds=60):
        """Run a program of the deployed release with the cluster's settings; returns testinfra's result."""
        command = shlex.join([f"/opt/celery/{self.expect('celery_app_name')}/run", *argv])
        return self.host.run(f"timeout {seconds} {command}")

    def app_output(self, *argv, seconds=60):
        """Like `app`, but returns the standard output, and fails when the program does."""
        result = self.app(*argv, seconds=seconds)
        assert result.rc == 0, f"{argv} on {self.name}: {result.stderr or result.stdout}"
        return result.stdout

    def parked(self, *arguments):
        """What parked.py prints on a host of the project: `list`, `replay` or `discard`, and options."""
        script = f"/opt/celery/{self.expect('celery_app_name')}/parked.py"
        return json.loads(self.app_output("python", script, *arguments))


def inventories(config):
    """The inventories under test, the kit's first; by default those of the lab."""
    given = config.getoption("--ansible-inventory")
    return tuple(given.split(",")) if given else tuple(map(str, kit.INVENTORIES["lab"]))


def pytest_configure(config):
    # For testinfra, which takes one inventory or what Ansible takes without one.
    os.environ["ANSIBLE_INVENTORY"] = ",".join(inventories(config))


def run_playbook(inventory, path, *arguments, expect_success=True):
    """Run a playbook and return its output; fails with its last lines unless it ends as expected (None: either way).

    One that succeeds shows no warning, which a newcomer would take for a fault. Those of a run that fails may tell why.
    """
    result = subprocess.run(
        ["ansible-playbook", *kit.inventory_arguments(inventory), path, *arguments],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert expect_success in (None, result.returncode == 0), result.stdout[-6000:] + result.stderr[-2000:]
    if result.returncode == 0:
        assert kit.warnings_in(result.stdout + result.stderr) == []
    return result.stdout


@functools.cache
def expected_values(inventory):
    """Every role input and secret on every host, as Ansible evaluates it: {host: {variable: value}}."""
    names, defaults = [], {}
    for role in sorted(PROJECT.glob("roles/*")):
        spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
        names += spec["argument_specs"]["main"]["options"]
        defaults |= yaml.safe_load((role / "defaults/main.yml").read_text())
    names += SECRETS
    with tempfile.TemporaryDirectory() as folder:
        run_playbook(inventory, "molecule/tests/expected.yml", "-e", json.dumps({"names": names, "folder": folder}))
        files = {file.stem: json.loads(file.read_text()) for file in Path(folder).iterdir()}
    return {
        host: defaults | {name: value for name, value in values.items() if value != "__undefined__"}
        for host, values in files.items()
    }


@functools.cache
def members(inventory, kind):
    """The hosts of a kind, in the inventory's order of names."""
    runner = AnsibleRunner()
    expected = expected_values(inventory)
    return [
        Member(name, runner.get_variables(name)["ansible_host"], runner.get_host(name), expected[name])
        for name in runner.get_hosts(GROUP_OF_KIND[kind])
    ]


def pytest_generate_tests(metafunc):
    for kind in GROUP_OF_KIND:
        if kind in metafunc.fixturenames:
            found = members(inventories(metafunc.config), kind)
            # An empty list would skip the test in silence; None fails it, unless -m leaves it out.
            names = [member.name for member in found]
            metafunc.parametrize(kind, found or [None], ids=names or ["no-host"], scope="module")


def pytest_runtest_setup(item):
    # CI is cut off at some time, with all that it has found; a slow machine would not come to the end.
    if item.get_closest_marker("lengthy") and time.time() > float(os.environ.get("LENGTHY_UNTIL", "inf")):
        pytest.skip("too late for a test that is lengthy; `make test` runs it")
    for kind, member in item.callspec.params.items() if hasattr(item, "callspec") else ():
        if member is None:
            pytest.fail(f"the inventory has no host in {GROUP_OF_KIND[kind]}", pytrace=False)


def pytest_collection_modifyitems(items):
    """Look first, break last: what a deployment left is checked before a test changes it. What takes long is last."""
    items.sort(key=lambda item: [item.get_closest_marker(marker) is not None for marker in ("lengthy", "disruptive")])


@pytest.fixture(scope="session")
def inventory(pytestconfig):
    """The paths of the inventories under test."""
    return inventories(pytestconfig)


def _all_of(kind):
    return pytest.fixture(scope="session", name=f"{kind}s")(lambda inventory: members(inventory, kind))


brokers, balancers, workers, publishers = map(_all_of, ["broker", "balancer", "worker", "publisher"])
stores, schedulers, monitors = map(_all_of, ["store", "scheduler", "monitor"])
all_members = pytest.fixture(scope="session", name="all_members")(lambda inventory: members(inventory, "member"))


@pytest.fixture(scope="session")
def prometheus(monitors):
    """GET a path of Prometheus' HTTP API, with parameters: what it answers as `data`."""
    monitor = monitors[0]
    place = f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}/api/v1"
    login = f"{monitor.expect('prometheus_user')}:{monitor.expect('prometheus_password')}"

    def ask(path, **parameters):
        return json.loads(monitor.page(f"{place}/{path}?{urllib.parse.urlencode(parameters)}", login))["data"]

    return ask


@pytest.fixture(scope="session")
def secrets(all_members):
    """Every generated secret, by its name."""
    return {name: all_members[0].expect(name) for name in SECRETS}


# What a deployment could change on a host: its files, and the processes of its services.
STATE = (
    "{ find /etc /opt /usr/local /usr/lib/systemd -xdev -type f -not -name '*.pyc' -printf '%p %T@ %s\\n' | sort;"
    " systemctl show --property=MainPID rabbitmq-server haproxy supervisor; supervisorctl pid all 2>&1; } | sha256sum"
)


@pytest.fixture(scope="session")
def state():
    """A digest for each host of what a deployment could have changed on it: state(members) -> {name: digest}."""
    return lambda members: {member.name: member.run("sh -c %s", STATE) for member in members}


@dataclasses.dataclass
class Watched:
    """What was seen while the cluster was deployed.

    `printed` is what Ansible said, by playbook; by host `opened` has the paths that root opened, `commands` the command
    lines of all processes, and `baits` the path that was opened on purpose, where there is one.
    """

    printed: dict
    opened: dict
    commands: dict
    baits: dict


@pytest.fixture(scope="session")
def watched(inventory, all_members, brokers):
    """Deploy with just a password to put right, run what looks at the cluster, and all timers, and watch."""
    script = (Path(__file__).parent / "host_scripts/watch.py").read_text()
    files = ("/run/warren-watch.opened", "/run/warren-watch.commands")
    for member in all_members:
        member.run(
            "systemd-run --quiet --collect --unit=warren-watch --property=RuntimeMaxSec=1500 python3 -c %s %s %s",
            script,
            *files,
        )
    printed, baits = {}, {}
    try:
        user = brokers[0].expect("rabbitmq_users")[0]["name"]
        brokers[0].run("rabbitmqctl --quiet change_password %s not-the-password", user)
        for words in (
            ["playbooks/site.yml"],
            ["playbooks/verify.yml"],
            ["playbooks/management.yml", "-e", "state=on"],
            ["playbooks/management.yml", "-e", "state=off"],
        ):
            printed[" ".join(words)] = run_playbook(inventory, *words, "--diff", "-vvv")
        for member in all_members:
            member.run(
                "sh -c 'systemctl start logrotate systemd-tmpfiles-clean; logrotate --force /etc/logrotate.conf'",
                seconds=120,
            )
            for unit in ("celery-clean", "celery-metrics", "celery-watchdog", "rabbitmq-watchdog"):
                if member.host.file(f"/etc/systemd/system/{unit}.service").exists:
                    member.run(f"systemctl start {unit}", seconds=120)
            writable = [path for path in ("/var/lib/celery/home", "/var/log/rabbitmq") if member.host.file(path).exists]
            if writable:
                baits[member.name] = f"{writable[0]}/opened-by-root"
                member.run(f"touch {baits[member.name]}")
    finally:
        for member in all_members:
            member.run("systemctl stop warren-watch")
    opened, commands = ({member.name: member.run(f"cat {file}") for member in all_members} for file in files)
    for member in all_members:
        member.run(f"rm -f {' '.join(files)} {baits.get(member.name, '')}")
    return Watched(printed, opened, commands, baits)


@pytest.fixture(scope="session")
def queues(brokers):
    """Every queue of the cluster as the first broker describes it now: a function, as queues come and go."""
    # A quorum queue counts its leader among them.
    quorum = brokers[0].expect("rabbitmq_quorum_queues")
    copies, in_sync = ("members", "online") if quorum else ("slave_pids", "synchronised_slave_pids")
    columns = f"name durable policy arguments leader {copies} {in_sync} messages"

    def read():
        listing = brokers[0].run(
            f"rabbitmqctl --quiet --formatter json list_queues -p {brokers[0].expect('rabbitmq_vhost')} {columns}"
        )
        found = {queue["name"]: queue for queue in json.loads(listing)}
        for queue in found.values():
            # A list of (name, type, value), and where it is empty an object.
            queue["arguments"] = {name: value for name, _, value in queue["arguments"] or []}
            for name, column in (("copies", copies), ("in_sync", in_sync)):
                queue[name] = [node for node in queue[column] or [] if not quorum or node != queue["leader"]]
        return found

    return read


@pytest.fixture(scope="session")
def playbook(inventory):
    """Run a playbook against the inventory; returns (output, {host: {"ok": n, "changed": n, ...}})."""

    def run(path, *arguments, expect_success=True):
        output = run_playbook(inventory, path, *arguments, expect_success=expect_success)
        recap = {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", output, re.MULTILINE)
        }
        return output, recap

    return run


@pytest.fixture(scope="session")
def play():
    """Run a playbook against any inventory: play(inventory, path, *arguments) -> its output."""
    return run_playbook


@pytest.fixture(scope="session")
def kill_at():
    """Run a playbook, and kill it when it has printed some words: kill_at(inventory, words, path, *arguments)."""

    def kill(inventory, words, *arguments):
        command = ["ansible-playbook", *kit.inventory_arguments(inventory), *arguments]
        environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
        with subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as run:
            printed = []
            for line in run.stdout:
                printed.append(line)
                if words in line:
                    break
            os.killpg(run.pid, signal.SIGKILL)
        assert words in printed[-1], "".join(printed[-30:])

    return kill


FIGURES = []


@pytest.fixture(scope="session")
def figures():
    """Measured figures, each a line that is printed at the end of the run."""
    return FIGURES


def pytest_terminal_summary(terminalreporter):
    """Print what was measured."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


def records_of(member, run):
    """The records that a host's workers wrote of a run, in the order in which they did its tasks."""
    folder = member.expect("celery_app_environment")["LEDGER_DIR"]
    lines = member.run("sh -c %s", f"cat {shlex.quote(folder)}/{shlex.quote(run)}/done-*.jsonl 2>/dev/null || true")
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="session")
def ledger(workers):
    """Wait until so many tasks of a run are done, or for some seconds: ledger(run, number) -> records, oldest first."""

    def wait(run, number, seconds=60):
        found = []
        for _ in range(seconds):
            found = sorted((record for worker in workers for record in records_of(worker, run)), key=itemgetter("time"))
            if len(found) >= number:
                break
            time.sleep(1)
        return found

    return wait


@pytest.fixture
def count_tasks(publishers, workers):
    """Submit tasks through the ledger and count who did them: count_tasks(run, number) -> {worker: tasks done}.

    Fails when a task is lost or done twice. `also` names workers beyond those of the inventory.
    """

    def count(run, tasks, *submit_arguments, submit_on=publishers[0], also=(), seconds=60):
        submit_on.app_output("ledger", "submit", "--run", run, "--count", str(tasks), *submit_arguments, seconds=300)
        executed = {}
        for _ in range(seconds):
            executed = {member.name: records_of(member, run) for member in [*workers, *also]}
            records = [record for done in executed.values() for record in done]
            if len({record["number"] for record in records}) == tasks:
                break
            time.sleep(1)
        lost = set(range(1, tasks + 1)) - {record["number"] for record in records}
        assert not lost, f"{len(lost)} of {tasks} tasks are lost"
        twice = len(records) - tasks
        assert twice == 0, f"{twice} tasks ran twice"
        return {name: len(done) for name, done in executed.items()}

    return count


@pytest.fixture
def load(publishers, ledger):
    """Start 50 tasks a second: load() -> a function that ends them, and fails when an accepted one was not done."""
    sender, units = publishers[0], []

    def start():
        run, unit = f"load-{uuid.uuid4()}", f"warren-load-{len(units)}"
        units.append(unit)
        limits = f"systemd-run --quiet --collect --unit={unit} --property=RuntimeMaxSec=1500"
        words = (sender.expect("celery_app_name"), run)
        sender.run(f"{limits} /opt/celery/%s/run ledger submit --run %s --rate 50 --seconds 1500", *words)

        def end():
            sender.run(f"systemctl stop {unit}")
            folder = sender.expect("celery_app_environment")["LEDGER_DIR"]
            lines = sender.run("sh -c %s", f"cat {folder}/{run}/accepted-*.jsonl").splitlines()
            accepted = {json.loads(line)["number"] for line in lines}
            done = {record["number"] for record in ledger(run, len(accepted), seconds=120)}
            assert len(accepted) > 1000
            assert accepted - done == set()

        return end

    yield start
    for unit in units:
        sender.run(f"sh -c 'systemctl stop {unit} 2>&1 || true'")
