"""The doctor of verify.yml finds what is wrong, says how much, and names the command that repairs it."""

import json
import subprocess
import sys
from pathlib import Path

import doctor
import pytest
from cluster_facts import EVENTS, HOST, INFO, QUEUE, broker, cluster_facts, host, said, worker

DEFAULT = QUEUE | {"name": "default"}
REPLIES = QUEUE | {"name": "0b4c7a34-5e1d-4c0e-9f0b-6d2f1c9b8a77", "mirrors": [], "ready": 400}
MIB = 1024**2


@pytest.fixture
def facts():
    return cluster_facts()


def findings(facts):
    return {finding.name: finding for finding in doctor.examine(facts)}


def test_where_all_is_well_every_check_is_ok(facts):
    found = findings(facts)
    assert {name: finding.wrong for name, finding in found.items() if finding.wrong} == {}
    assert list(found) == [name for name, _ in doctor.CHECKS]
    assert [finding for finding in found.values() if not finding.measured or not finding.repair] == []


@pytest.mark.parametrize(
    ("check", "name", "role", "answer", "sentence", "repair"),
    [
        ("every part answers", "mq2", "rabbitmq", {"rc": 124}, "mq2: no answer in time; there, type", "the sentence"),
        (
            "brokers see each other",
            "mq2",
            "rabbitmq",
            broker(running=["rabbit@mq2"]),
            "mq2 does not see rabbit@mq1",
            "systemctl restart rabbitmq-server",
        ),
        (
            "brokers see each other",
            "mq2",
            "rabbitmq",
            broker(partitions=["rabbit@mq1"]),
            "mq2 does not see rabbit@mq1",
            "systemctl restart rabbitmq-server",
        ),
        ("no publisher is held up", "mq2", "rabbitmq", broker(alarms=["memory"]), "mq2: memory", "drills/heal.yml"),
        (
            "memory is below the watermark",
            "mq2",
            "rabbitmq",
            broker(memory_bytes=450 * MIB),
            "mq2 uses 88%",
            "rabbitmq_memory_high_watermark",
        ),
        (
            "file handles of the brokers",
            "mq2",
            "rabbitmq",
            broker(file_handles=900),
            "mq2 uses 90%",
            "host_open_files_limit",
        ),
        (
            "disk space for the brokers",
            "mq2",
            "rabbitmq",
            broker(disk_free_bytes=600 * MIB),
            "mq2 has 600 MiB left and stops publishers at 512 MiB",
            "journalctl --vacuum",
        ),
        (
            "queues are consumed",
            "mq1",
            "rabbitmq",
            broker(DEFAULT | {"consumers": 0}),
            "nobody consumes default",
            "`supervisorctl start default` on w1",
        ),
        (
            "mirrors are in sync",
            "mq1",
            "rabbitmq",
            broker(DEFAULT | {"synchronised": []}),
            "default has a copy that is behind",
            "`rabbitmqctl sync_queue -p warren default` on a broker",
        ),
        (
            "event queues have bounds",
            "mq2",
            "rabbitmq",
            broker(EVENTS | {"max_length": None}),
            "celeryev.1 has no max-length",
            "site.yml --tags rabbitmq",
        ),
        (
            "event queues are read",
            "mq2",
            "rabbitmq",
            broker(EVENTS | {"ready": 2500}),
            "celeryev.1 holds 2500 events",
            "`supervisorctl restart flower`",
        ),
        (
            "event queues are read",
            "mq2",
            "rabbitmq",
            broker(EVENTS | {"ready": 2500, "consumers": 0}),
            "celeryev.1 holds 2500 events",
            "`rabbitmqctl delete_queue -p warren celeryev.1` on a broker",
        ),
        (
            "results do not pile up",
            "mq2",
            "rabbitmq",
            broker(REPLIES),
            "holds 400 results",
            "`rabbitmqctl delete_queue -p warren 0b4c7a34",
        ),
        (
            "the management plugin is off",
            "mq2",
            "rabbitmq",
            broker(plugins=["rabbitmq_management"]),
            "mq2 has it on",
            "playbooks/management.yml -e state=off",
        ),
        (
            "a task may be held for long enough",
            "mq2",
            "rabbitmq",
            broker(consumer_timeout_milliseconds=120000),
            "mq2 takes a task back after 120 s, and a worker may hold it for 600 s",
            "site.yml --tags rabbitmq",
        ),
        (
            "policies are the inventory's",
            "mq1",
            "rabbitmq",
            broker(DEFAULT, policies=[]),
            "the policy ha is missing",
            "site.yml --tags rabbitmq",
        ),
        (
            "policies are the inventory's",
            "mq1",
            "rabbitmq",
            broker(DEFAULT, policies=[{"name": "ha", "pattern": ".*", "priority": 1, "definition": {}}]),
            "the policy ha differs",
            "site.yml --tags rabbitmq",
        ),
        (
            "users are the inventory's",
            "mq1",
            "rabbitmq",
            broker(
                DEFAULT,
                permissions=[{"user": name, "configure": "c", "write": "w", "read": "r"} for name in ("celery", "bob")],
            ),
            "the user bob is not in the inventory",
            "`rabbitmqctl delete_user bob` on a broker",
        ),
        (
            "workers send no heartbeats and no gossip",
            "w1",
            "celery_worker",
            worker(arguments=["celery", "worker"]),
            "default@w1 runs without --without-gossip",
            "site.yml --tags celery_worker",
        ),
        (
            "workers fetch no more than they can do",
            "w1",
            "celery_worker",
            worker(prefetch=8),
            "default@w1 fetches 8, not 2",
            "site.yml --tags celery_worker",
        ),
        (
            "no worker is a zombie",
            "w1",
            "celery_worker",
            worker(answering=False),
            "default@w1 runs and gives no answer",
            "`systemctl start celery-watchdog` on w1",
        ),
        (
            "no worker is a zombie",
            "w1",
            "celery_worker",
            worker(zombies=3),
            "default@w1 has 3 ended processes",
            "`supervisorctl restart default` on w1",
        ),
        (
            "children stay below their memory",
            "w1",
            "celery_worker",
            worker(largest_child_bytes=400 * MIB),
            "a child of default@w1 has 400 MiB, more than 256 MiB",
            "`supervisorctl restart default` on w1",
        ),
        (
            "all hosts have the same release",
            "w2",
            "celery_app",
            said("releases/2\n"),
            "w2 has 2",
            "site.yml --tags celery_app",
        ),
        (
            "locks end",
            "mon1",
            "redis",
            {"results": [said(INFO.replace("expires=1", "expires=0")) | {"item": {"name": "locks", "port": 6380}}]},
            "1 locks on mon1:6380 have no end",
            "`redis-cli -h mon1 -p 6380 -n 1 --scan`",
        ),
        (
            "room for tracked connections",
            "mq1",
            "host",
            host(conntrack_used=0.9),
            "mq1 uses 90%",
            "host_conntrack_max",
        ),
        (
            "room for files",
            "mq1",
            "host",
            host(inodes_used=[0.95, "/tmp"]),
            "mq1:/tmp uses 95%",
            "`systemctl start celery-clean`",
        ),
        (
            "kernel settings are the inventory's",
            "mq1",
            "host",
            host(kernel_wrong=["vm.swappiness is 60, not 10"]),
            "mq1: vm.swappiness is 60, not 10",
            "`sysctl --load=",
        ),
        ("clocks agree", "mq1", "host", host(time=HOST["time"] - 4), "mq1 is 3.5 s off", "systemd-timesyncd"),
        ("clocks agree", "mq1", "host", host(time=HOST["time"] + 4), "mq1 is 3.5 s off", "systemd-timesyncd"),
    ],
)
def test_each_check_finds_its_fault(facts, check, name, role, answer, sentence, repair):
    facts["answers"][name][role] = answer
    finding = findings(facts)[check]
    assert any(sentence in wrong for wrong in finding.wrong), finding
    assert repair in finding.repair


def test_every_check_has_a_fault_above():
    (mark,) = test_each_check_finds_its_fault.pytestmark
    assert {case[0] for case in mark.args[1]} == {name for name, _ in doctor.CHECKS}


def test_a_pool_that_may_grow_may_fetch_more(facts):
    facts["answers"]["w1"]["celery_worker"] = worker(prefetch=8, arguments=["--autoscale=8,1", "--without-gossip"])
    assert findings(facts)["workers fetch no more than they can do"].wrong == []


def test_the_pages_user_is_the_kits_as_long_as_the_page_is_on(facts):
    users = [{"user": "celery", "configure": "c", "write": "w", "read": "r"}]
    users.append({"user": "look", "configure": "^$", "write": "^$", "read": "^$"})
    facts["answers"]["mq1"]["rabbitmq"] = broker(DEFAULT, permissions=users)
    assert findings(facts)["users are the inventory's"].wrong == ["the user look is not in the inventory"]
    facts["answers"]["mq2"]["rabbitmq"] = broker(plugins=["rabbitmq_management"])
    assert findings(facts)["users are the inventory's"].wrong == []


def test_what_a_cluster_has_not_is_not_checked(facts):
    """One without Redis, and whose kernels track no connections."""
    facts["groups"]["redis"] = []
    facts["answers"]["mq1"]["host"] = host(conntrack_used=None)
    found = findings(facts)
    assert {"locks end", "room for tracked connections"} & set(found) == set()


def test_where_nothing_answers_that_is_what_it_says(facts):
    facts["answers"] = {name: {} for name in facts["answers"]}
    wrong = [finding.name for finding in findings(facts).values() if finding.wrong]
    assert wrong == ["every part answers"]


def run(facts, tmp_path):
    file = tmp_path / "verify.json"
    done = subprocess.run(
        [sys.executable, Path(doctor.__file__), file],
        input=json.dumps(facts),
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads(file.read_text())


def test_the_command_succeeds_where_all_is_well(facts, tmp_path):
    done, written = run(facts, tmp_path)
    assert (done.returncode, written["passed"]) == (0, True)
    assert done.stdout.splitlines()[-1].endswith(f"{len(doctor.CHECKS)} ok, 0 wrong\x1b[0m")


def test_the_command_fails_and_names_the_repair(facts, tmp_path):
    facts["answers"]["mq1"]["rabbitmq"] = broker(DEFAULT, policies=[])
    done, written = run(facts, tmp_path)
    assert (done.returncode, written["passed"]) == (3, False)
    assert "       repair: `ansible-playbook playbooks/site.yml --tags rabbitmq`\n" in done.stdout
    assert [finding for finding in written["checks"] if finding["wrong"]] == [
        {
            "name": "policies are the inventory's",
            "measured": "0",
            "wrong": ["the policy ha is missing"],
            "repair": "`ansible-playbook playbooks/site.yml --tags rabbitmq`",
        }
    ]
