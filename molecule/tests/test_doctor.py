"""The doctor of verify.yml finds what is broken here on purpose, and is content after the repair that it names.

Most faults are there together, found by one look, and repaired by their commands. Clocks belong to the machine of the
lab's hosts: a wrong one is in tests/test_doctor.py alone. So does the size of the table of tracked connections, which
is filled here and empties itself.
"""

import json
import os
import re
import shlex
import time
import uuid
from pathlib import Path

import kit
import pytest

# Its faults are of mirrored queues, too.
pytestmark = [pytest.mark.cluster, pytest.mark.disruptive, pytest.mark.lengthy, pytest.mark.mirrored]

PROJECT = Path(__file__).resolve().parents[2]
FINDINGS = PROJECT / ".cache/verify.json"
REPLIES = str(uuid.uuid4())
# A name that a shell would run, and a terminal obey.
HOSTILE = "celeryev.\x1b[7m`touch /tmp/pwned`$(touch /tmp/pwned)"
# Names that a client chose are in no command: the operator takes them from the sentence, as this file does.
CHOSEN = {
    "results do not pile up": ("QUEUE", REPLIES),
    "no task waits in a queue of nobody": ("QUEUE", "left-by-bob"),
    "nobody else administers the brokers": ("USER", "bob"),
    "users are the inventory's": ("USER", "bob"),
}
# Events and results that nobody reads, as a monitor that is gone and the backend rpc leave them.
# As a service runs that was started before it had a sandbox.
UNCONFINE = """
folder=/run/systemd/system/prometheus-node-exporter.service.d
mkdir -p $folder && printf '[Service]\\nNoNewPrivileges=no\\n' > $folder/zz.conf
systemctl daemon-reload && systemctl restart prometheus-node-exporter && rm -r $folder && systemctl daemon-reload
"""
LEAVE_UNREAD = """
import sys
import celeryconfig
from kombu import Connection
with Connection(sys.argv[1], ssl=getattr(celeryconfig, "broker_use_ssl", False)) as connection:
    for name, count in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
        queue = connection.SimpleQueue(name)
        for number in range(count):
            queue.put(number)
"""
# Datagrams to this host itself, each on its own connection.
TRACK = """
import socket
for _ in range(4):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        source.bind(("127.0.0.1", 0))
        for port in range(1, 55001):
            source.sendto(b"", ("127.0.0.1", port))
"""
# Nine of ten file handles are used at this limit.
FEW_HANDLES = (
    "file_handle_cache:set_limit(proplists:get_value(total_used, file_handle_cache:info([total_used])) * 10 div 9)."
)
FAULTS = {
    "mirrors are in sync": "solo has a copy that is behind",
    "queues are consumed": "nobody consumes solo",
    "file handles of the brokers": " uses ",
    "event queues are read": "celeryev.test holds 1500 events",
    "event queues have bounds": "celeryev.test has no message-ttl",
    "results do not pile up": f"{REPLIES} holds 150 results",
    "no task waits in a queue of nobody": "3 wait in left-by-bob, which the inventory has not",
    "the management plugin is off": "has it on",
    "a task may be held for long enough": "takes a task back after 60 s, and a worker may hold it for 600 s",
    "policies are the inventory's": "the policy celery-events is missing",
    # Before the next, whose repair deletes the user.
    "nobody else administers the brokers": "the user bob is an administrator",
    "users are the inventory's": "the user bob is not in the inventory",
    "workers send no heartbeats and no gossip": "slow@w1 runs without --without-gossip",
    "workers fetch no more than they can do": "slow@w1 fetches 8, not 2",
    "no worker is a zombie": "slow@w2 runs and gives no answer",
    "all hosts have the same release": "has copy",
    "programs run with their settings": "default on w1 was started with other settings than its entry names",
    # Unknown to Flower where it has heard nothing of it since its start, and offline otherwise.
    "Flower sees the workers": "threads@w2",
    "the schedule is looked at": " s ago, and no other has since",
    "locks end": "1 locks on",
    "room for tracked connections": " uses ",
    "room for files": ":/tmp uses",
    "kernel settings are the inventory's": "net.core.somaxconn is 128, not 4096",
    "firewalls are as deployed": "has other rules than it was deployed with",
    "services run in their sandbox": "prometheus-node-exporter.service on",
    "hosts find each other by name": "knows no address of",
}


def read_findings():
    """What the doctor has found at the last look, by the name of the check."""
    return {finding["name"]: finding for finding in json.loads(FINDINGS.read_text())["checks"]}


def look(playbook, *arguments):
    """Let the doctor look, and return what he finds."""
    FINDINGS.unlink(missing_ok=True)
    playbook("molecule/tests/doctor.yml", *arguments, expect_success=None)
    return read_findings()


def commands(finding):
    """What the finding says to type."""
    return re.findall(r"`([^`]+)`", finding["repair"])


def arguments(command, inventory):
    """The arguments of a command that runs a playbook, without the inventories, which must be those under test."""
    start = ["ansible-playbook", *kit.inventory_arguments(os.path.relpath(path, PROJECT) for path in inventory)]
    words = shlex.split(command)
    assert words[: len(start)] == start
    return words[len(start) :]


def look_until_flower_sees_all(playbook):
    """What the doctor finds as soon as Flower has heard of every program, for which it asks twice a minute."""
    for _ in range(12):
        found = look(playbook)
        if found["Flower sees the workers"]["verdict"] == "ok":
            break
        time.sleep(5)
    return found


@pytest.fixture(scope="module")
def broken(playbook, inventory, brokers, workers, balancers, publishers, stores, schedulers, monitors):
    """Everything of FAULTS is broken, looked at, and repaired: the findings before and after."""
    one, two = workers
    vhost, user = brokers[0].expect("rabbitmq_vhost"), one.expect("celery_app_user")
    home = f"/opt/celery/{one.expect('celery_app_name')}"
    release = one.run(f"readlink {home}/current").removeprefix("releases/")
    locks = next(instance for instance in stores[0].expect("redis_instances") if instance["name"] == "locks")
    control = "rabbitmqctl --quiet"

    # A Flower that has seen no worker. It answers by the time of the check.
    monitors[0].run("supervisorctl stop flower-presence")
    monitors[0].run("supervisorctl restart flower")

    # A mirror that comes back while messages wait, and that does not get a copy of them. The queue is made anew under
    # the policy: a broker that is stopped while its queues take a new one has waited for ten minutes, and nothing shows
    # when they have taken it.
    two.run("supervisorctl stop solo")
    (policy,) = [policy for policy in brokers[0].expect("rabbitmq_policies") if policy["name"] == "ha-solo"]
    manual = json.dumps(policy["definition"] | {"ha-sync-mode": "manual"})
    brokers[0].run(f"{control} delete_queue -p {vhost} solo")
    brokers[0].run(
        f"{control} set_policy -p {vhost} --priority 20 --apply-to queues ha-solo ^solo$ {shlex.quote(manual)}"
    )
    # A worker's host declares it.
    two.app_output("ledger", "submit", "--count", "5", "--queue", "solo")
    leader = brokers[0].run(f"{control} --no-table-headers list_queues -p {vhost} name pid | grep ^solo")
    mirror = next(broker for broker in brokers if f"@{broker.name}." not in leader)
    mirror.run(f"{control} stop_app")
    mirror.run(f"{control} start_app", seconds=120)

    playbook("playbooks/management.yml", "-e", "state=on")
    brokers[0].run(f"{control} clear_policy -p {vhost} celery-events")
    brokers[0].run(f"{control} add_user bob secret")
    brokers[0].run(f"{control} set_user_tags bob administrator")
    brokers[0].run(f"{control} set_permissions -p {vhost} bob '.*' '.*' '.*'")
    port = balancers[0].expect("haproxy_listeners")[0]["port"]
    url = f"pyamqp://bob:secret@{balancers[0].address}:{port}/{vhost}"
    unread = [REPLIES, "150", "celeryev.test", "1500", HOSTILE, "1500", "left-by-bob", "3"]
    publishers[0].app_output("python", "-c", LEAVE_UNREAD, url, *unread)
    brokers[-1].run(f"{control} eval 'application:set_env(rabbit, consumer_timeout, 60000).'")
    instead = "/hostname=slow@/s/ --without-gossip/ --prefetch-multiplier=4/"
    one.run("sed -i %s /etc/supervisor/conf.d/celery-workers.conf", instead)
    one.run("supervisorctl update slow", seconds=400)
    other = 's/WARREN_FINGERPRINT="[^"]*"/WARREN_FINGERPRINT="other"/'
    one.run("sed -i %s /etc/supervisor/conf.d/celery-workers.conf", other)
    two.run(f"cp -a {home}/releases/{release} {home}/releases/copy")
    two.run(f"ln -sfn releases/copy {home}/current")
    stores[0].redis_cli(locks, "-n", "1", "set", "test-without-an-end", "1")
    one.run("mount -t tmpfs -o nr_inodes=60,mode=1777 tmpfs /tmp")
    one.run("sh -c 'touch --date=\"9 days ago\" $(seq --format=/tmp/left-%.0f 57)'")
    one.run(f"sh -c 'chown {user} /tmp/left-*'")
    balancers[-1].run("sysctl -w net.core.somaxconn=128")
    balancers[-1].run("nft add rule inet warren input tcp dport 4000 accept")
    balancers[-1].run("sh -c %s", UNCONFINE)
    balancers[-1].run("sed -i %s /etc/hosts", f"/ {two.name}$/d")
    balancers[-1].run("apt-get install --quiet --quiet --yes nftables", seconds=120)
    balancers[-1].run("nft add table inet track")
    balancers[-1].run("nft add chain inet track out '{ type filter hook output priority 0; }'")
    balancers[-1].run("nft add rule inet track out ct state new counter")
    balancers[-1].run("python3 -c %s", TRACK)
    balancers[-1].run("nft delete table inet track")
    brokers[-1].run(f"{control} eval '{FEW_HANDLES}'")
    # All that could take over, the first of them last.
    beats = [(scheduler, scheduler.pid("beat")) for scheduler in schedulers]
    for hours, (scheduler, beat) in enumerate(beats, 1):
        scheduler.run(f"kill -STOP {beat}")
        scheduler.run(f"touch --date='{hours} hours ago' /var/lib/celery/metrics/scheduler.prom")
    slow = two.pid("slow")
    two.run(f"kill -STOP -- -{slow}")
    try:
        before = look(playbook)

        # In the order of the findings, each by its own command; what concerns one host is typed there.
        where = {
            "mirrors are in sync": brokers[0],
            # The messages are kept until here.
            "queues are consumed": two,
            "file handles of the brokers": brokers[-1],
            "results do not pile up": brokers[0],
            "a task may be held for long enough": brokers[-1],
            "no task waits in a queue of nobody": brokers[0],
            "nobody else administers the brokers": brokers[0],
            "users are the inventory's": brokers[0],
            "no worker is a zombie": two,
            "programs run with their settings": one,
            "the schedule is looked at": schedulers[0],
            "Flower sees the workers": monitors[0],
            "room for files": one,
            "kernel settings are the inventory's": balancers[-1],
            "services run in their sandbox": balancers[-1],
        }
        typed, tags = set(), set()
        for name in FAULTS:
            for named in commands(before[name]):
                command = named.replace(*CHOSEN.get(name, ("", "")))
                if command.startswith("ansible-playbook"):
                    words = arguments(command, inventory)
                    if words[:2] == ["playbooks/site.yml", "--tags"]:
                        tags.add(words[2])
                    else:
                        playbook(*words)
                elif command.startswith("redis-ask"):
                    for key in stores[0].run(command).split():
                        stores[0].redis_cli(locks, "-n", "1", "del", key)
                elif (where[name].name, command) not in typed:
                    where[name].run("sh -c %s", command, seconds=400)
                    typed.add((where[name].name, command))
        # All deployments in one run.
        playbook("playbooks/site.yml", "--tags", ",".join(sorted(tags)))
    finally:
        two.host.run(f"kill -CONT -- -{slow}")
        for scheduler, beat in beats:
            scheduler.host.run(f"kill -CONT {beat}")
        one.run("umount /tmp")
        two.host.run("supervisorctl start solo")
        two.run(f"rm -r {home}/releases/copy")
    # Brokers and programs that were restarted may come back first.
    playbook("playbooks/health.yml")
    # Unread event queues end a minute after they have their bounds again.
    for _ in range(30):
        if "celeryev.test" not in brokers[0].run(f"{control} --no-table-headers list_queues -p {vhost} name"):
            break
        time.sleep(3)
    return before, look_until_flower_sees_all(playbook)


@pytest.mark.parametrize("check", FAULTS)
def test_a_fault_is_found_and_repaired_by_the_command_that_is_named(broken, check):
    before, after = broken
    assert any(FAULTS[check] in sentence for sentence in before[check]["wrong"]), before[check]
    assert after[check]["wrong"] == []


def test_nothing_else_is_wrong_or_unknown_after_the_repairs(broken):
    assert {name: finding for name, finding in broken[1].items() if finding["verdict"] != "ok"} == {}


def test_a_name_that_a_client_chose_is_in_no_command(broken, brokers, monitors):
    before, _ = broken
    sentences = [text for finding in before.values() for key in ("wrong", "unknown") for text in finding[key]]
    assert "celeryev.?[7m'touch /tmp/pwned'$(touch /tmp/pwned) holds 1500 events" in sentences
    typed = [command for text in sentences for command in re.findall(r"`([^`]+)`", text)]
    typed += [command for finding in before.values() for command in commands(finding)]
    assert [command for command in typed if "pwned" in command or REPLIES in command or "bob" in command] == []
    assert not any(member.host.file("/tmp/pwned").exists for member in [*brokers, *monitors])


# A node of its own beside the broker's, with none of its configuration.
EXTRA = (
    "env RABBITMQ_NODENAME=extra RABBITMQ_NODE_PORT=5673 RABBITMQ_DIST_PORT=25673 RABBITMQ_CONF_ENV_FILE=/dev/null "
    "RABBITMQ_CONFIG_FILE=/nowhere RABBITMQ_ENABLED_PLUGINS_FILE=/nowhere"
)


def test_a_member_that_the_inventory_lacks_is_found_and_forgotten(playbook, brokers):
    """As a broker that was replaced leaves it: a node that has joined, and has gone without leaving."""
    one, check = brokers[0], "members are the inventory's"
    control = f"{EXTRA} rabbitmqctl --quiet -n extra"
    try:
        one.run(f"{EXTRA} rabbitmq-server -detached")
        one.run(f"{control} await_startup", seconds=120)
        for command in ("stop_app", f"join_cluster rabbit@{one.name}", "stop"):
            one.run(f"{control} {command}", seconds=60)
        before = look(playbook)[check]
        assert before["wrong"] == [f"extra@{one.name} is a member and not in the inventory; it counts for the majority"]
        (command,) = commands(before)
        one.run(command, seconds=60)
    finally:
        one.host.run(f"{control} stop")
        one.host.run(f"rm -r /var/lib/rabbitmq/mnesia/extra@{one.name}*")
    assert look(playbook)[check]["verdict"] == "ok"


# The alerts that really fire here; tests/alerts_test.yml lets each one fire in Prometheus' own test.
ALERTS = ("MemoryAlarm", "BrokerDown", "QueueWithoutConsumers")


@pytest.fixture(scope="module")
def hurt(playbook, inventory, brokers, workers, prometheus, monitors):
    """Two brokers with limits that somebody has changed, a third that is down, and a program that is stopped.

    Returns the findings before the repairs, the alerts that fired, those that reached Alertmanager, the findings after
    the repairs, and the alerts that still fire.
    """
    short, other, down = brokers
    # First, as a worker that stops says so to everybody, which an alarm would hold up.
    workers[-1].run("supervisorctl stop threads")
    free = int(other.run("rabbitmqctl --quiet eval 'rabbit_disk_monitor:get_disk_free().'"))
    short.run("rabbitmqctl set_vm_memory_high_watermark absolute 100MiB")
    other.run(f"rabbitmqctl set_disk_free_limit {free * 7 // 10}")
    down.run("systemctl stop rabbitmq-server")

    def firing():
        alerts = [alert for alert in prometheus("alerts")["alerts"] if alert["state"] == "firing"]
        return {alert["labels"]["alertname"]: alert["labels"] for alert in alerts}

    def wait_until(done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            time.sleep(3)

    try:
        # A child that is too large is not made on purpose: the limit is that of a tiny one.
        before = look(playbook, "-e", "celery_app_max_memory_per_child_kib=1024")
        # A minute for the queue, and a scrape and a look at the rules more.
        wait_until(lambda: set(ALERTS) <= firing().keys(), 120)
        fired = firing()
        place = f"{monitors[0].expect('prometheus_bind')}:{monitors[0].expect('prometheus_alertmanager_port')}"
        login = f"{monitors[0].expect('prometheus_user')}:{monitors[0].expect('prometheus_password')}"
        alerts = json.loads(monitors[0].page(f"{place}/api/v2/alerts", login))
        told = {alert["labels"]["alertname"] for alert in alerts}
    finally:
        (command, *_) = commands(before["queues are consumed"])
        workers[-1].run(command)
        # It waits until everything is healthy, the program too.
        (command, *_) = commands(before["no publisher is held up"])
        playbook(*arguments(command, inventory))
    look_until_flower_sees_all(playbook)
    playbook("playbooks/verify.yml")
    wait_until(lambda: not firing().keys() & set(ALERTS), 60)
    return before, fired, told, read_findings(), firing()


def test_what_hurts_is_found_and_repaired_by_what_is_named(hurt, brokers):
    before, _, _, after, _ = hurt
    short, other, down = brokers
    expected = {
        "no publisher is held up": f"{short.name}: ",
        "memory is below the watermark": f"{short.name} uses 1",
        "disk space for the brokers": f"{other.name} has ",
        "every part answers": f"{down.name}: does not run",
        "brokers see each other": f"does not see rabbit@{down.name}",
        "queues are consumed": "nobody consumes threads",
        "children stay below their memory": "more than 1 MiB",
    }
    for name, sentence in expected.items():
        assert any(sentence in wrong for wrong in before[name]["wrong"]), before[name]
    # The rest is shown, as well, and what the broker that is down would have said is not known.
    assert before["users are the inventory's"]["verdict"] == "ok"
    assert before["the management plugin is off"]["verdict"] == "unknown"
    (reason,) = before["the management plugin is off"]["unknown"]
    assert reason == f"{down.name}: does not run; there, type `systemctl status rabbitmq-server`"
    assert {name: finding for name, finding in after.items() if finding["verdict"] != "ok"} == {}


def test_who_watches_is_told_of_it(hurt, brokers):
    _, fired, told, _, left = hurt
    about = {"MemoryAlarm": brokers[0].name, "BrokerDown": brokers[-1].name, "QueueWithoutConsumers": "threads"}
    assert {name: fired[name].get("queue") or fired[name]["instance"] for name in about} == about
    assert told >= about.keys()
    assert left.keys() & about.keys() == set()
