"""The doctor of verify.yml finds what is broken here on purpose, and is content after the repair that it names.

Most faults are there together, found by one look, and repaired by their commands. Clocks and the table of tracked
connections belong to the machine of the lab's hosts, and file handles cannot be used up here: their faults are in
tests/test_doctor.py alone.
"""

import json
import re
import shlex
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive]

REPLIES = str(uuid.uuid4())
# Events and results that nobody reads, as a monitor that is gone and the backend rpc leave them.
LEAVE_UNREAD = """
import sys
from kombu import Connection
with Connection(sys.argv[1]) as connection:
    for name, count in zip(sys.argv[2::2], map(int, sys.argv[3::2])):
        queue = connection.SimpleQueue(name)
        for number in range(count):
            queue.put(number)
"""
FAULTS = {
    "mirrors are in sync": "solo has a copy that is behind",
    "event queues are read": "celeryev.test holds 1500 events",
    "event queues have bounds": "celeryev.test has no message-ttl",
    "results do not pile up": f"{REPLIES} holds 150 results",
    "the management plugin is off": "has it on",
    "a task may be held for long enough": "takes a task back after 60 s, and a worker may hold it for 600 s",
    "policies are the inventory's": "the policy celery-events is missing",
    "users are the inventory's": "the user bob is not in the inventory",
    "workers send no heartbeats and no gossip": "slow@w1 runs without --without-gossip",
    "no worker is a zombie": "slow@w2 runs and gives no answer",
    "all hosts have the same release": "has copy",
    "locks end": "1 locks on",
    "room for files": ":/tmp uses",
    "kernel settings are the inventory's": "net.core.somaxconn is 128, not 4096",
}


def look(playbook, *arguments):
    """Let the doctor look: his findings by the name of the check."""
    file = Path(__file__).resolve().parents[2] / ".cache/verify.json"
    file.unlink(missing_ok=True)
    playbook("molecule/tests/doctor.yml", *arguments, expect_success=None)
    return {finding["name"]: finding for finding in json.loads(file.read_text())["checks"]}


def commands(finding):
    """What the finding says to type."""
    return re.findall(r"`([^`]+)`", finding["repair"])


@pytest.fixture(scope="module")
def broken(playbook, brokers, workers, balancers, publishers, stores):
    """Everything of FAULTS is broken, looked at, and repaired: the findings before and after."""
    one, two = workers
    vhost, user = brokers[0].expect("rabbitmq_vhost"), one.expect("celery_app_user")
    home = f"/opt/celery/{one.expect('celery_app_name')}"
    release = one.run(f"readlink {home}/current").removeprefix("releases/")
    locks = next(instance for instance in stores[0].expect("redis_instances") if instance["name"] == "locks")
    control = "rabbitmqctl --quiet"

    # A mirror that comes back while messages wait, and nobody copies them.
    two.run("supervisorctl stop solo")
    publishers[0].app_output("ledger", "submit", "--count", "5", "--queue", "solo")
    (policy,) = [policy for policy in brokers[0].expect("rabbitmq_policies") if policy["name"] == "ha-solo"]
    manual = json.dumps(policy["definition"] | {"ha-sync-mode": "manual"})
    brokers[0].run(
        f"{control} set_policy -p {vhost} --priority 20 --apply-to queues ha-solo ^solo$ {shlex.quote(manual)}"
    )
    leader = brokers[0].run(f"{control} --no-table-headers list_queues -p {vhost} name pid | grep ^solo")
    mirror = next(broker for broker in brokers if f"@{broker.name}." not in leader)
    mirror.run(f"{control} stop_app")
    mirror.run(f"{control} start_app", seconds=120)

    playbook("playbooks/management.yml", "-e", "state=on")
    brokers[0].run(f"{control} clear_policy -p {vhost} celery-events")
    brokers[0].run(f"{control} add_user bob secret")
    brokers[0].run(f"{control} set_permissions -p {vhost} bob '.*' '.*' '.*'")
    url = f"pyamqp://bob:secret@{brokers[0].address}:{brokers[0].expect('rabbitmq_amqp_port')}/{vhost}"
    publishers[0].app_output("python", "-c", LEAVE_UNREAD, url, REPLIES, "150", "celeryev.test", "1500")
    brokers[-1].run(f"{control} eval 'application:set_env(rabbit, consumer_timeout, 60000).'")
    one.run("sed -i '/hostname=slow@/s/ --without-gossip//' /etc/supervisor/conf.d/celery-workers.conf")
    one.run("supervisorctl update slow", seconds=400)
    two.run(f"cp -a {home}/releases/{release} {home}/releases/copy")
    two.run(f"ln -sfn releases/copy {home}/current")
    stores[0].redis_cli(locks, "-n", "1", "set", "test-without-an-end", "1")
    one.run("mount -t tmpfs -o nr_inodes=60,mode=1777 tmpfs /tmp")
    one.run("sh -c 'touch --date=\"9 days ago\" $(seq --format=/tmp/left-%.0f 57)'")
    one.run(f"sh -c 'chown {user} /tmp/left-*'")
    balancers[-1].run("sysctl -w net.core.somaxconn=128")
    slow = two.pid("slow")
    two.run(f"kill -STOP -- -{slow}")
    try:
        before = look(playbook)

        # In the order of the findings, each by its own command; what concerns one host is typed there.
        where = {
            "mirrors are in sync": brokers[0],
            "event queues are read": brokers[0],
            "results do not pile up": brokers[0],
            "a task may be held for long enough": brokers[-1],
            "users are the inventory's": brokers[0],
            "no worker is a zombie": two,
            "room for files": one,
            "kernel settings are the inventory's": balancers[-1],
        }
        done = set()
        for name in FAULTS:
            for command in commands(before[name]):
                words = shlex.split(command)
                if words[0] == "ansible-playbook" and command not in done:
                    playbook(*words[1:])
                elif words[0] == "redis-cli":
                    for key in stores[0].redis_cli(locks, "-n", "1", "--scan").split():
                        stores[0].redis_cli(locks, "-n", "1", "del", key)
                elif name in where and words[0] != "ansible-playbook":
                    where[name].run("sh -c %s", command, seconds=400)
                done.add(command)
            if name == "mirrors are in sync":
                # Its messages were kept until here.
                two.run("supervisorctl start solo")
    finally:
        two.host.run(f"kill -CONT -- -{slow}")
        one.run("umount /tmp")
        two.host.run("supervisorctl start solo")
        two.run(f"rm -r {home}/releases/copy")
    # Brokers and programs that were restarted may come back first.
    playbook("playbooks/health.yml")
    return before, look(playbook)


@pytest.mark.parametrize("check", FAULTS)
def test_a_fault_is_found_and_repaired_by_the_command_that_is_named(broken, check):
    before, after = broken
    assert any(FAULTS[check] in sentence for sentence in before[check]["wrong"]), before[check]
    assert after[check]["wrong"] == []


def test_nothing_else_is_wrong_after_the_repairs(broken):
    assert {name: finding["wrong"] for name, finding in broken[1].items() if finding["wrong"]} == {}


def test_memory_and_disk_that_are_short_and_publishers_that_are_held_up(playbook, brokers):
    """Short, as somebody has changed the limits; the drills' heal.yml takes those of the configuration again."""
    short, other = brokers[0], brokers[1]
    free = int(other.run("rabbitmqctl --quiet eval 'rabbit_disk_monitor:get_disk_free().'"))
    short.run("rabbitmqctl set_vm_memory_high_watermark absolute 100MiB")
    other.run(f"rabbitmqctl set_disk_free_limit {free * 7 // 10}")
    before = look(playbook)
    expected = {
        "no publisher is held up": f"{short.name}: ",
        "memory is below the watermark": f"{short.name} uses 1",
        "disk space for the brokers": f"{other.name} has ",
    }
    for name, sentence in expected.items():
        assert any(sentence in wrong for wrong in before[name]["wrong"]), before[name]
    (repair, *_) = commands(before["no publisher is held up"])
    playbook(*shlex.split(repair)[1:])
    after = look(playbook)
    assert {name: after[name]["wrong"] for name in expected if after[name]["wrong"]} == {}


def test_a_broker_that_is_down_is_found_and_the_rest_is_shown(playbook, brokers):
    stopped = brokers[-1]
    stopped.run("systemctl stop rabbitmq-server")
    try:
        before = look(playbook)
    finally:
        stopped.run("systemctl start rabbitmq-server", seconds=120)
    assert any(f"{stopped.name}: does not run" in sentence for sentence in before["every part answers"]["wrong"])
    assert any(f"does not see rabbit@{stopped.name}" in line for line in before["brokers see each other"]["wrong"])
    assert before["users are the inventory's"]["wrong"] == []
    output, _ = playbook("playbooks/verify.yml")
    assert re.search(r"\d+ ok, 0 wrong", output)


def test_children_are_compared_with_their_limit(playbook):
    """A child that large is not made on purpose: the limit is that of a tiny one."""
    found = look(playbook, "-e", "celery_app_max_memory_per_child_kib=1024")
    assert any("more than 1 MiB" in sentence for sentence in found["children stay below their memory"]["wrong"])
