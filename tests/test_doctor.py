"""The doctor of verify.yml finds what is wrong, says how much, and names the command that repairs it."""

import json
import re

import kit
import pytest
import yaml
from cluster_facts import (
    ACTIVE,
    DATABASE,
    EVENTS,
    HOST,
    POLICY,
    QUEUE,
    USERS,
    beat,
    broker,
    certificates,
    cluster_facts,
    databases,
    host,
    project,
    redis,
    said,
    without,
    worker,
)
from warren import doctor

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
        (
            "members are the inventory's",
            "mq1",
            "rabbitmq",
            broker(DEFAULT, members=["rabbit@mq1", "rabbit@mq2", "rabbit@mq3"]),
            "rabbit@mq3 is a member and not in the inventory",
            "on mq1 `rabbitmqctl forget_cluster_node rabbit@mq3`, or add its host",
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
            "queues are consumed",
            "mq1",
            "rabbitmq",
            broker(),
            "no broker has default",
            "`supervisorctl restart default` on w1",
        ),
        (
            "queues are consumed",
            "mq1",
            "rabbitmq",
            broker(DEFAULT | {"ready": None, "unacknowledged": None, "consumers": None}),
            "the process of default on mq1 has ended",
            "`systemctl restart rabbitmq-server` on mq1",
        ),
        (
            "queues are consumed",
            "mq1",
            "rabbitmq",
            broker(DEFAULT | {"answers": False, "ready": None, "unacknowledged": None, "consumers": None}),
            "default on mq1 does not answer",
            "`systemctl restart rabbitmq-server` on mq1",
        ),
        (
            "queues are consumed",
            "mq1",
            "rabbitmq",
            broker(DEFAULT | {"answers": False, "ready": None}, alarms=["memory"]),
            "default on mq1 does not answer",
            "heal.yml`, which ends the alarm",
        ),
        (
            "mirrors are in sync",
            "mq1",
            "rabbitmq",
            broker(DEFAULT, QUEUE | {"name": "old", "synchronised": []}),
            "old has a copy that is behind",
            "`rabbitmqctl sync_queue -p warren QUEUE` on a broker",
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
            "site.yml --tags rabbitmq",
        ),
        (
            "results do not pile up",
            "mq2",
            "rabbitmq",
            broker(REPLIES),
            "holds 400 results",
            "on a broker `rabbitmqctl delete_queue -p warren QUEUE`",
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
            "on a broker `rabbitmqctl delete_user USER`",
        ),
        (
            "nobody else administers the brokers",
            "mq1",
            "rabbitmq",
            broker(DEFAULT, users=[{"user": "bob", "tags": ["administrator"]}]),
            "the user bob is an administrator, who may do everything",
            "on a broker `rabbitmqctl set_user_tags USER`, with the name above",
        ),
        (
            "nobody else uses the database",
            "mon1",
            "postgresql",
            databases(DATABASE, superusers=["bob"]),
            "the user bob is a superuser, who may do everything",
            "on mon1 `runuser -u postgres -- psql --command='ALTER ROLE \"USER\" NOSUPERUSER NOLOGIN'`",
        ),
        (
            "nobody else uses the database",
            "mon1",
            "postgresql",
            databases(DATABASE, users=[*USERS, "warren"]),
            "the user warren is not in the inventory",
            "playbooks/site.yml`, which removes former users of the kit's",
        ),
        (
            "nobody else uses the database",
            "mon1",
            "postgresql",
            databases(DATABASE, users=USERS[:1]),
            "the user programs-4567 is missing",
            "site.yml --tags postgresql",
        ),
        (
            "no task waits in a queue of nobody",
            "mq2",
            "rabbitmq",
            broker(QUEUE | {"name": "old", "mirrors": [], "synchronised": [], "consumers": 0}),
            "3 wait in old, which the inventory has not",
            "add it to cluster_queues and to a program's queues; if nobody needs them, on a broker `rabbitmqctl delete",
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
            "workers fetch no more than they can do",
            "w1",
            "celery_worker",
            worker(prefetch=0),
            "default@w1 fetches without a limit, not 2",
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
            "pools do their tasks",
            "w1",
            "celery_worker",
            worker(idle="killed"),
            "default@w1 holds tasks and does none: its processes are killed before they can begin",
            "raise celery_app_start_timeout_seconds, and `ansible-playbook",
        ),
        (
            "pools do their tasks",
            "w1",
            "celery_worker",
            worker(idle="still"),
            "default@w1 holds tasks and does none",
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
            project("2", beat=("b", "b")),
            "w2 has 2",
            "site.yml --tags celery_app",
        ),
        (
            "all hosts have the same release",
            "w2",
            "celery_app",
            project(None),
            "w2 has none",
            "site.yml --tags celery_app",
        ),
        (
            "programs run with their settings",
            "w1",
            "celery_app",
            project(default=("a", "c"), beat=("b", None)),
            "default on w1 was started with other settings than its entry names",
            "on that host `supervisorctl update`",
        ),
        (
            "Flower sees the workers",
            "mon1",
            "flower",
            {"status": 200, "json": {"default@w1": False}},
            "mon1 sees default@w1 offline",
            "on that host `supervisorctl restart flower-presence`",
        ),
        (
            "Flower sees the workers",
            "mon1",
            "flower",
            {"status": 200, "json": {"old@w9": True}},
            "mon1 does not know default@w1",
            "on that host `supervisorctl restart flower-presence`",
        ),
        (
            "the schedule is looked at",
            "w2",
            "celery_beat",
            beat(**ACTIVE | {"looks_at": 1795659700.0}),
            "w2 should have looked 300 s ago, and no other has since",
            "`supervisorctl restart beat` on w2",
        ),
        (
            "the schedule is looked at",
            "w2",
            "celery_beat",
            beat(**ACTIVE | {"looks_at": None}),
            "no scheduler says when it will look again",
            "site.yml --tags celery_beat`",
        ),
        (
            "locks end",
            "mon1",
            "redis",
            redis(databases={"0": {"keys": 3, "expire": 0}, "1": {"keys": 1, "expire": 0}}),
            "1 locks on mon1:6380 have no end",
            "`redis-ask locks -n 1 --scan` on mon1",
        ),
        (
            "no task is parked",
            "mq1",
            "rabbitmq",
            broker(QUEUE | {"name": "default"}, EVENTS, QUEUE | {"name": "warren-parked", "ready": 3, "consumers": 0}),
            "3 tasks wait for somebody",
            "playbooks/parked.yml`",
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
        (
            "certificates last",
            "mq1",
            "certificate",
            certificates(host=20.4),
            "the certificate of mq1 is valid for 20.4 days only",
            "--tags certificate",
        ),
        (
            "certificates last",
            "mq1",
            "certificate",
            certificates(authority=-0.4),
            "the authority's certificate on mq1 has ended 0.4 days ago",
            "--tags certificate",
        ),
        (
            "certificates last",
            "mq1",
            "certificate",
            certificates(fits=False),
            "the key of mq1 does not belong to its certificate",
            "--tags certificate",
        ),
        (
            "firewalls are as deployed",
            "mq1",
            "host",
            host(firewall="changed"),
            "mq1 has other rules than it was deployed with",
            "--tags host",
        ),
        (
            "firewalls are as deployed",
            "w1",
            "host",
            host(firewall="off"),
            "w1 has no firewall, unlike other hosts",
            "`host_firewall: false`",
        ),
        (
            "services run in their sandbox",
            "w1",
            "host",
            host(unconfined=["supervisor.service"]),
            "supervisor.service on w1 was started before it had one",
            "`systemctl restart supervisor.service` there",
        ),
        (
            "hosts find each other by name",
            "w1",
            "host",
            host(unresolved=["mq1", "mq2"]),
            "w1 knows no address of mq1, mq2",
            "--tags host`",
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


@pytest.mark.parametrize(
    ("own", "wrong"),
    [(500 * 1024, []), (300 * 1024, ["a child of default@w1 has 400 MiB, more than 300 MiB"]), (0, [])],
)
def test_a_program_has_a_limit_of_its_own(facts, own, wrong):
    arguments = ["--without-gossip", f"--max-memory-per-child={own}"]
    facts["answers"]["w1"]["celery_worker"] = worker(largest_child_bytes=400 * MIB, arguments=arguments)
    assert findings(facts)["children stay below their memory"].wrong == wrong


def test_the_pages_user_is_the_kits_as_long_as_the_page_is_on(facts):
    users = [{"user": "celery", "configure": "c", "write": "w", "read": "r"}]
    users.append({"user": "look", "configure": "^$", "write": "^$", "read": "^$"})
    facts["answers"]["mq1"]["rabbitmq"] = broker(DEFAULT, permissions=users)
    assert findings(facts)["users are the inventory's"].wrong == ["the user look is not in the inventory"]
    facts["answers"]["mq2"]["rabbitmq"] = broker(plugins=["rabbitmq_management"])
    assert findings(facts)["users are the inventory's"].wrong == []


def test_a_member_that_runs_is_stopped_before_it_is_forgotten(facts):
    three = ["rabbit@mq1", "rabbit@mq2", "rabbit@mq3"]
    facts["answers"]["mq1"]["rabbitmq"] = broker(DEFAULT, members=three, running=three)
    repair = findings(facts)["members are the inventory's"].repair
    assert repair.startswith(
        "`systemctl disable --now rabbitmq-watchdog.timer rabbitmq-server` there, then on mq1 `rab"
    )


@pytest.mark.parametrize(
    "queue",
    [
        {"name": "warren-parked"},
        {"name": "w1@celery.pidbox"},
        {"name": "celeryev.9"},
        {"name": REPLIES["name"]},
        {"name": "theirs", "consumers": 1},
        {"name": "old", "ready": 0},
    ],
)
def test_a_queue_of_somebody_is_none_of_nobody(facts, queue):
    facts["answers"]["mq2"]["rabbitmq"] = broker(QUEUE | {"mirrors": [], "synchronised": [], "consumers": 0} | queue)
    assert findings(facts)["no task waits in a queue of nobody"].wrong == []


def test_the_kits_own_queues_are_those_that_the_brokers_let_it_make():
    wiring = kit.kit_variables("wiring")
    assert f"{wiring['wiring_monitor_names']}|{wiring['wiring_own_names']}" == doctor.OWN_QUEUE.pattern


def test_what_a_cluster_has_not_is_said(facts):
    """One without Redis and Flower, and whose kernels track no connections."""
    facts["groups"]["redis"], facts["groups"]["monitoring"] = [], []
    for answers in facts["answers"].values():
        answers["host"] = host(conntrack_used=None)
    found = findings(facts)
    without = ("locks end", "Flower sees the workers", "room for tracked connections")
    assert {(found[name].verdict, found[name].measured) for name in without} == {
        ("ok", "no Redis in this cluster"),
        ("ok", "no Flower in this cluster"),
        ("ok", "no kernel here tracks connections"),
    }


LATE = {"rc": 124}
BROKERS = {
    "brokers see each other",
    "no publisher is held up",
    "memory is below the watermark",
    "file handles of the brokers",
    "disk space for the brokers",
    "queues are consumed",
    "no task is parked",
    "no task waits in a queue of nobody",
    "mirrors are in sync",
    "event queues have bounds",
    "event queues are read",
    "results do not pile up",
    "the management plugin is off",
    "a task may be held for long enough",
}
INVENTORYS_BROKER = {"policies are the inventory's", "users are the inventory's"}
ANY_BROKER = INVENTORYS_BROKER | {"members are the inventory's", "nobody else administers the brokers"}
RUNNING = {
    "workers send no heartbeats and no gossip",
    "children stay below their memory",
}
PREFETCH = {"workers fetch no more than they can do"}
ZOMBIES = {"no worker is a zombie", "pools do their tasks"}
PROJECTS = {"all hosts have the same release", "programs run with their settings"}
HOSTS = {
    "room for tracked connections",
    "room for files",
    "kernel settings are the inventory's",
    "firewalls are as deployed",
    "services run in their sandbox",
    "hosts find each other by name",
    "clocks agree",
}
DATABASES = {"nobody else uses the database"}
INVENTORY = DATABASES | INVENTORYS_BROKER | RUNNING | PREFETCH | {"a task may be held for long enough"}


@pytest.mark.parametrize(
    ("name", "role", "answer", "reason", "checks"),
    [
        ("mq2", "rabbitmq", LATE, "mq2: no answer in time; there, type `systemctl status rabbitmq-server`", BROKERS),
        ("mq2", "rabbitmq", said("{badrpc"), "mq2: the answer is no JSON ({badrpc); there, type", BROKERS),
        ("mq2", "rabbitmq", {}, "mq2: no answer; there, type", BROKERS),
        (
            "mq2",
            "rabbitmq",
            broker(disk_free_bytes=None),
            "mq2: RabbitMQ cannot measure its disk; there, type `df`",
            {"disk space for the brokers"},
        ),
        ("w1", "celery_worker", LATE, "w1: no answer in time; there, type", RUNNING | PREFETCH | ZOMBIES),
        ("w1", "celery_worker", said("{}"), "default@w1: the host says nothing of it", RUNNING | PREFETCH | ZOMBIES),
        (
            "w1",
            "celery_worker",
            worker(state=None, answering=False),
            "w1: supervisord does not answer",
            RUNNING | PREFETCH | ZOMBIES,
        ),
        ("w1", "celery_worker", worker(state="FATAL", answering=False), "default@w1: is FATAL", RUNNING | PREFETCH),
        (
            "w1",
            "celery_worker",
            worker(answering=False),
            "default@w1: gives no answer through the broker; there, type `supervisorctl status default`",
            PREFETCH,
        ),
        ("w1", "celery_worker", worker(prefetch=None), "default@w1: the answer does not say how many", PREFETCH),
        ("w2", "celery_app", LATE, "w2: no answer in time", PROJECTS),
        (
            "w1",
            "celery_app",
            project(beat=("b", "b")),
            "default@w1: supervisord has no entry of it; type `ansible-playbook -i inventory/kit -i inventory/lab.yml",
            {"programs run with their settings"},
        ),
        ("mon1", "redis", {}, "mon1: no answer; there, type `systemctl status redis-server@locks`", {"locks end"}),
        (
            "mon1",
            "redis",
            redis(error="NOAUTH Authentication required."),
            "mon1:6380: NOAUTH Authentication required",
            {"locks end"},
        ),
        ("mon1", "redis", said("{}"), "mon1: the host says nothing of its instance locks; there, type", {"locks end"}),
        ("mon1", "postgresql", LATE, "mon1: no answer in time; there, type `pg_lsclusters`", DATABASES),
        ("mon1", "flower", {"status": -1, "msg": "refused"}, "mon1: refused; there, type", {"Flower sees the workers"}),
        ("w1", "celery_beat", LATE, "w1: no answer in time; there, type", {"the schedule is looked at"}),
        ("lb1", "host", LATE, "lb1: no answer in time", HOSTS),
        ("mq2", "rabbitmq", without(broker(), "file_handles"), "mq2: the answer lacks file_handles; there,", BROKERS),
        (
            "w1",
            "celery_worker",
            without(worker(), "zombies"),
            "w1: the answer lacks default.zombies; there, type `supervisorctl status`",
            RUNNING | PREFETCH | ZOMBIES,
        ),
        (
            "w1",
            "celery_worker",
            worker(largest_child_bytes=None),
            "default@w1: its processes have ended meanwhile; there, type",
            RUNNING | PREFETCH,
        ),
        ("w2", "celery_app", without(project(), "programs"), "w2: the answer lacks programs; there, type", PROJECTS),
        (
            "mon1",
            "redis",
            without(redis(), "expire"),
            "mon1: the answer lacks locks.databases.0.expire;",
            {"locks end"},
        ),
        (
            "mon1",
            "flower",
            {"status": 200, "json": []},
            "mon1: the answer lacks everything",
            {"Flower sees the workers"},
        ),
        ("lb1", "host", host(inodes_used=[0.1]), "lb1: the answer lacks inodes_used; there, type", HOSTS),
    ],
)
def test_what_gives_no_answer_is_not_known_to_the_checks_that_need_it(facts, name, role, answer, reason, checks):
    facts["answers"][name][role] = answer
    found = findings(facts)
    unknown = {check for check, finding in found.items() if any(text.startswith(reason) for text in finding.unknown)}
    assert unknown == checks
    assert list(found) == [check for check, _ in doctor.CHECKS]
    # Some know already that something is wrong.
    assert {found[check].verdict for check in checks} <= {"unknown", "wrong"}
    assert {found[check].verdict for check in found.keys() - checks} <= {"ok", "wrong"}


def test_where_no_broker_answers_nothing_of_the_brokers_is_known(facts):
    for name in ("mq1", "mq2"):
        facts["answers"][name]["rabbitmq"] = LATE
    assert {check for check, finding in findings(facts).items() if finding.verdict == "unknown"} == BROKERS | ANY_BROKER


def test_where_no_host_was_asked_what_the_inventory_wants_is_not_known(facts):
    facts["expected"] = None
    unknown = {check for check, finding in findings(facts).items() if finding.verdict == "unknown"}
    assert unknown == INVENTORY


def test_where_nothing_answers_nothing_is_known(facts):
    facts["answers"] = {name: {} for name in facts["answers"]}
    verdicts = {check: finding.verdict for check, finding in findings(facts).items()}
    assert verdicts.pop("every part answers") == "wrong"
    assert set(verdicts.values()) == {"unknown"}


def test_what_the_playbook_gives_is_enough_where_no_host_answers(tmp_path):
    """No play has asked any host here."""
    playbook = tmp_path / "give.yml"
    task = {"name": "Give", "ansible.builtin.copy": {"content": "{{ status_facts | to_json }}", "dest": "{{ file }}"}}
    play = {"name": "Give", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    playbook.write_text(yaml.safe_dump([play | {"vars_files": [f"{kit.PROJECT}/playbooks/status/vars/facts.yml"]}]))
    variables = kit.extra_vars(file=tmp_path / "facts.json", ansible_become=False)
    done = kit.run("ansible-playbook", *kit.inventory_arguments(kit.INVENTORIES["lab"]), playbook, *variables)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["commands"] == cluster_facts()["commands"]
    done, written = run(facts, tmp_path)
    assert (done["passed"], len(written["checks"])) == (False, len(doctor.CHECKS))
    assert {finding["verdict"] for finding in written["checks"]} == {"wrong", "unknown"}


HOSTILE = "x\x1b[2J\n\u202e`reboot`$(reboot);'"


def test_no_name_that_a_client_chose_is_in_a_command_or_reaches_the_terminal_as_it_is(facts, tmp_path):
    """Every name and text of clients and of what they left, all with a fault."""
    events = EVENTS | {"name": f"celeryev.{HOSTILE}", "ready": 5000, "consumers": 0, "max_length": None}
    other = QUEUE | {"name": HOSTILE, "synchronised": [], "mirrors": [HOSTILE]}
    answers = facts["answers"]
    answers["mq1"]["rabbitmq"] = broker(
        events,
        other,
        alarms=[HOSTILE],
        partitions=[HOSTILE],
        policies=[POLICY | {"name": HOSTILE}],
        permissions=[{"user": HOSTILE, "configure": "c", "write": "w", "read": "r"}],
        users=[{"user": HOSTILE, "tags": ["administrator"]}],
    )
    answers["mq2"]["rabbitmq"] = broker(QUEUE | {"name": f"left.{HOSTILE}", "consumers": 0})
    answers["w1"]["celery_worker"] = worker(answering=False, error=HOSTILE)
    answers["w1"]["celery_app"] = project(HOSTILE, **{HOSTILE: ("a", "b")})
    answers["mon1"]["redis"] = redis(error=HOSTILE)
    answers["mon1"]["flower"] = {"status": 500, "msg": HOSTILE}
    answers["mq1"]["host"] = host(kernel_wrong=[HOSTILE])
    done, written = run(facts, tmp_path)
    text = re.sub(r"\x1b\[\d+m", "", done["screen"])
    assert "celeryev.x?[2J??'reboot'$(reboot);' holds 5000 events" in text
    assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
    typed = [
        command
        for finding in written["checks"]
        for sentence in [*finding["wrong"], *finding["unknown"], finding["repair"]]
        for command in re.findall("`([^`]*)`", sentence)
    ]
    assert len(typed) > 20
    assert [command for command in typed if "reboot" in command] == []


def test_names_of_the_inventory_are_quoted_for_a_shell(facts):
    facts["vhost"], facts["task_queues"] = "our vhost", ["a queue;id"]
    facts["answers"]["mq1"]["rabbitmq"] = broker(QUEUE | {"name": "a queue;id", "synchronised": []})
    repair = findings(facts)["mirrors are in sync"].repair
    assert "`rabbitmqctl sync_queue -p 'our vhost' 'a queue;id'` on a broker" in repair


def run(facts, tmp_path):
    return kit.run_action("warren_doctor", facts, tmp_path)


def test_the_action_succeeds_where_all_is_well(facts, tmp_path):
    done, written = run(facts, tmp_path)
    assert (done["passed"], written["passed"], done["well"]) == (True, True, True)
    assert done["screen"].splitlines()[-1].endswith(f"{len(doctor.CHECKS)} ok, 0 wrong, 0 not known\x1b[0m")


def test_not_all_is_well_where_only_the_screen_has_a_problem(facts, tmp_path):
    facts["answers"]["lb1"]["haproxy"]["servers"][0]["status"] = "DOWN"
    done, _ = run(facts, tmp_path)
    assert (done["passed"], done["well"]) == (True, False)


def test_the_action_fails_and_names_the_repair(facts, tmp_path):
    facts["answers"]["mq1"]["rabbitmq"] = broker(DEFAULT, policies=[])
    done, written = run(facts, tmp_path)
    assert (done["passed"], written["passed"]) == (False, False)
    repair = "`ansible-playbook -i inventory/kit -i inventory/lab.yml playbooks/site.yml --tags rabbitmq`"
    assert f"           repair: {repair}\n" in done["screen"]
    assert [finding for finding in written["checks"] if finding["wrong"]] == [
        {
            "name": "policies are the inventory's",
            "measured": "0",
            "wrong": ["the policy ha is missing"],
            "unknown": [],
            "repair": repair,
            "verdict": "wrong",
        }
    ]


def test_one_reason_of_many_hosts_is_one_line(facts):
    for name in ("mq2", "lb1"):
        facts["answers"][name]["host"] = {"unreachable": True, "msg": "timed out"}
    report = doctor.report(doctor.examine(facts))
    assert report.count("not known, because mq2, lb1: the host does not answer by SSH (timed out); type `ssh` and") == 7
    assert findings(facts)["clocks agree"].unknown[1].startswith("lb1: the host does not answer")


def test_the_action_fails_where_something_is_not_known(facts, tmp_path):
    facts["answers"]["mon1"]["flower"] = {"status": -1, "msg": "refused"}
    done, written = run(facts, tmp_path)
    assert (done["passed"], written["passed"]) == (False, False)
    assert "\x1b[33mnot known\x1b[0m  Flower sees the workers" in done["screen"]
    assert "           not known, because mon1: refused; there, type `supervisorctl status flower`" in done["screen"]
    assert done["screen"].splitlines()[-1].endswith("1 wrong, 1 not known\x1b[0m")
    (finding,) = [finding for finding in written["checks"] if finding["verdict"] == "unknown"]
    assert finding["unknown"] == ["mon1: refused; there, type `supervisorctl status flower`"]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ({"pool": "solo"}, "gives no answer, as a program with the pool solo does while a task runs"),
        ({"watchdog": False}, "gives no answer"),
    ],
)
def test_what_the_watchdog_leaves_alone_is_killed_by_hand(facts, program, sentence):
    facts["programs"]["w1"] = [facts["programs"]["w1"][0] | program]
    facts["answers"]["w1"]["celery_worker"] = worker(answering=False)
    finding = findings(facts)["no worker is a zombie"]
    assert finding.wrong == [f"default@w1 runs and {sentence}"]
    assert "celery-watchdog" not in finding.repair
    assert finding.repair.endswith("`kill -KILL -- -$(supervisorctl pid default)` on w1")
