"""The screen of status.yml says what is wrong and what to type, and shows the rest."""

import json
import re
from dataclasses import fields

import kit
import pytest
from cluster_facts import (
    DATABASE,
    PROGRAM,
    QUEUE,
    SERVER,
    UP,
    beat,
    broker,
    cluster_facts,
    databases,
    keepalived,
    redis,
    said,
    without,
    worker,
)
from warren import doctor, screen
from warren.model import Cluster, Program, Scheduler

FORMATS = (kit.PROJECT / "docs/formats.md").read_text()


@pytest.fixture
def facts():
    return cluster_facts()


def status_of(facts):
    return screen.status(facts, screen.sections(Cluster(facts)))


def screen_of(facts):
    """The screen, without its colours."""
    text = screen.screen(status_of(facts), screen.sections(Cluster(facts)), facts["commands"]["verify"])
    return re.sub(r"\x1b\[\d+m", "", text)


def test_where_all_is_well_there_is_no_problem(facts):
    status = status_of(facts)
    assert status["problems"] == []
    assert (status["environment"], status["time"]) == ("lab", "2026-11-26T02:26:40+00:00")
    assert {title: [line["name"] for line in lines] for title, lines in status["parts"].items()} == {
        "Brokers": ["mq1", "mq2"],
        "Queues": ["default", "others: 1"],
        "HAProxy": ["lb1", "lb1"],
        "Workers": ["default@w1"],
        "Scheduler": ["w1", "w2"],
        "Redis": ["locks@mon1"],
        "Flower": ["mon1"],
        "Prometheus": ["mon1"],
        "PostgreSQL": ["warren@mon1"],
        "Site": ["mon1"],
        "Certificates": ["mq1"],
    }


def test_the_lines_say_how_much(facts):
    parts = status_of(facts)["parts"]
    assert parts["Brokers"][0] | {"problems": 0} == {
        "name": "mq1",
        "problems": 0,
        "version": "3.10.8",
        "uptime_seconds": 3725,
        "memory_bytes": 136 * 1024**2,
        "memory_limit_bytes": 512 * 1024**2,
        "disk_free_bytes": 2 * 1024**3,
        "connections": 4,
        "leads": 2,
        "alarms": [],
    }
    assert parts["Queues"][0]["leader"] == "mq1"
    assert (parts["Queues"][0]["ready"], parts["Queues"][0]["out_per_second"]) == (3, 9.96)
    assert parts["HAProxy"][0]["address"] == "192.0.2.20"
    assert parts["Workers"][0]["uptime_seconds"] == 60
    assert parts["Scheduler"][1]["last_task"] == "nightly"
    assert (parts["Redis"][0]["keys"], parts["Redis"][0]["memory_limit_bytes"]) == (4, 4 * 1024**2)
    assert (parts["Flower"][0]["workers_online"], parts["Flower"][0]["workers"]) == (1, 1)
    assert parts["PostgreSQL"][0]["size_bytes"] == 8 * 1024**2


def test_the_screen_says_the_same_for_people(facts):
    lines = [" ".join(line.split()) for line in screen_of(facts).splitlines()]
    rows = dict(line.split(" ", 1) for line in lines if " " in line)
    assert rows["default"] == "classic mq1 mq2 3 1 2 10.0 10.0 -"
    assert rows["others:"] == "1 0 1"
    assert rows["lb1"] == "amqp/mq2 UP 1 min 1 s 5 2 KiB 10 B 192.0.2.20"
    assert rows["default@w1"] == "prefork 2 1 0 5 1 MiB 1 min 0 s 0"
    assert rows["w2"] == "active 2026-11-26 03:00:00 nightly"
    assert rows["locks@mon1"] == "7.0.15 1 MiB of 4 MiB 4 2 1 min 1 s"
    assert rows["warren@mon1"] == "15.14 8 MiB 3"
    assert "mq1 3.10.8 1 h 2 min 136 MiB of 512 MiB 2.0 GiB 4 2 0" in lines
    assert "mon1 1 of 1 up none" in lines


def test_a_queue_says_how_old_its_oldest_message_is(facts):
    facts["answers"]["mq1"]["rabbitmq"] = broker(QUEUE | {"name": "default", "oldest_message_time": 1795659400})
    assert status_of(facts)["parts"]["Queues"][0]["oldest_message_age_seconds"] == 600
    assert "10 min 0 s ago" in screen_of(facts)


DEPLOY = cluster_facts()["commands"]["deploy"]
STOPPED = {"rc": 69, "stdout": "", "stderr": "Error: unable to perform an operation on node 'rabbit@mq2'. Please see"}
SILENT = (
    "w2: supervisord does not say whether it runs (unix:///run/supervisor.sock refused); there, type `supervisorctl"
)
TRACEBACK = {"rc": 1, "stderr": "Traceback (most recent call last):\n  File x\nFileNotFoundError: no 'ip'\n"}
UNREACHABLE = {"unreachable": True, "msg": "Failed to connect to the host via ssh: Connection timed out"}


@pytest.mark.parametrize(
    ("host", "role", "answer", "problem"),
    [
        ("mq2", "rabbitmq", STOPPED, "mq2: does not run; there, type `systemctl status rabbitmq-server`"),
        (
            "mq2",
            "rabbitmq",
            said('{"state":"booting"}ok'),
            "mq2: is booting; there, type `journalctl -u rabbitmq-watch",
        ),
        ("mq2", "rabbitmq", {"rc": 124}, "mq2: no answer in time; there, type `systemctl status rabbitmq-server`"),
        ("mq2", "rabbitmq", {"failed": True, "timedout": {"period": 10}}, "mq2: no answer in time; there, type"),
        ("mq2", "rabbitmq", {}, "mq2: no answer; there, type `systemctl status rabbitmq-server`"),
        ("mq2", "rabbitmq", UNREACHABLE, "mq2: the host does not answer by SSH (Failed to connect to the host via ssh"),
        ("mq2", "rabbitmq", broker(alarms=["memory"]), "mq2: blocks publishers: memory"),
        ("mq2", "rabbitmq", broker(partitions=["rabbit@mq1"]), "mq2: runs apart from rabbit@mq1"),
        ("mq2", "rabbitmq", broker(running=["rabbit@mq2"]), "mq2: does not see rabbit@mq1 running"),
        ("mq1", "rabbitmq", broker(), "default: has no leader on any broker"),
        ("mq1", "rabbitmq", broker(QUEUE | {"name": "default", "consumers": 0}), "default: nobody consumes it"),
        (
            "mq1",
            "rabbitmq",
            broker(QUEUE | {"name": "default", "ready": None, "unacknowledged": None, "consumers": None}),
            "default: its process on mq1 has ended; there, type `systemctl restart rabbitmq-server`",
        ),
        (
            "mq1",
            "rabbitmq",
            broker(QUEUE | {"name": "default", "synchronised": []}),
            "default: its copy on mq2 is not in sync yet",
        ),
        (
            "lb1",
            "haproxy",
            {"servers": [SERVER | {"status": "DOWN", "check": "L4CON"}]},
            "lb1: finds mq1 DOWN (L4CON)",
        ),
        ("lb1", "haproxy", {"msg": "The stats page does not take the password."}, "lb1: The stats page does not take"),
        ("lb1", "haproxy", {}, "lb1: the host was not asked; there, type `systemctl status haproxy`"),
        (
            "lb1",
            "keepalived",
            keepalived("inactive", holds=False),
            "lb1: keepalived does not run; there, type `systemctl status keepa",
        ),
        ("lb1", "keepalived", keepalived(holds=False), "192.0.2.20: is held by no host"),
        (
            "w1",
            "celery_worker",
            worker(answering=False),
            "default@w1: gives no answer through the broker; there, type `supervisorctl status default` and `tail",
        ),
        ("w1", "celery_worker", worker(answering=False, error="refused"), "default@w1: refused; there, type"),
        ("w1", "celery_worker", worker(state="FATAL", answering=False), "default@w1: is FATAL; there, type"),
        (
            "w1",
            "celery_worker",
            worker(state=None, answering=False),
            "*@w1: supervisord does not answer; there, type `systemctl status supervisor`",
        ),
        ("w1", "celery_worker", UNREACHABLE, "*@w1: the host does not answer by SSH"),
        ("w2", "celery_beat", beat(), "schedule: no scheduler is active, so nothing is sent"),
        ("w2", "celery_beat", beat(state="FATAL"), "w2: does not run; there, type `supervisorct"),
        (
            "w1",
            "celery_worker",
            said('{"other": ' + json.dumps(PROGRAM) + "}"),
            "default@w1: the host says nothing of it; there, type `supervisorctl status default`",
        ),
        ("w1", "celery_worker", said("Traceback"), "*@w1: the answer is no JSON (Traceback); there, type"),
        ("mq2", "rabbitmq", said("{{badrpc,nodedown}"), "mq2: the answer is no JSON ({{badrpc,nodedown}); there, type"),
        ("mq2", "rabbitmq", STOPPED, "others: 1: those that mq2 may have are not counted"),
        ("mq1", "rabbitmq", STOPPED, "default: has no leader on the brokers that answer; mq1 may have it"),
        (
            "lb1",
            "haproxy",
            {"servers": [SERVER]},
            f"lb1: knows no server mq2; type `{DEPLOY} haproxy`",
        ),
        ("lb1", "keepalived", {"rc": 124}, "192.0.2.20: is held by no host that answers; lb1 may have it"),
        ("w2", "celery_beat", {"rc": 124}, "schedule: no scheduler that answers is active; w2 may be"),
        ("w2", "celery_beat", beat(state=None, error="unix:///run/supervisor.sock refused\n"), SILENT),
        ("w2", "celery_beat", TRACEBACK, "w2: FileNotFoundError: no 'ip'; there, type `supervisorctl status beat`"),
        ("mon1", "redis", {}, "*@mon1: no answer; there, type `systemctl status redis-server@*`"),
        ("mon1", "flower", {"status": 200, "json": {}}, "mon1: does not know default@w1; there, type `supervisorctl"),
        ("mon1", "flower", {}, "mon1: no answer; there, type `supervisorctl status flower`"),
        (
            "mon1",
            "prometheus",
            {"status": 200, "json": {"data": {"result": []}}},
            f"mon1: does not ask node of w1; type `{DEPLOY} prometheus`",
        ),
        (
            "mon1",
            "prometheus",
            {"status": 200, "json": {"data": {"result": [UP | {"value": [0, "0"]}]}}},
            "mon1: does not reach node of w1",
        ),
        ("mon1", "postgresql", databases(), f"warren@mon1: there is no such database; type `{DEPLOY} postgresql`"),
        ("mon1", "postgresql", {}, "mon1: no answer; there, type `pg_lsclusters`"),
        ("mon1", "web", {}, "mon1: no answer; there, type `supervisorctl status web`"),
        ("mon1", "redis", redis(error="NOAUTH Authentication required."), "locks@mon1: NOAUTH Authentication requ"),
        ("mon1", "redis", redis(error="no answer in time"), "locks@mon1: no answer in time; there, type `systemctl st"),
        ("mon1", "redis", UNREACHABLE, "*@mon1: the host does not answer by SSH"),
        (
            "mon1",
            "redis",
            redis(memory_bytes=4 * 1024**2),
            "locks@mon1: its memory is nearly full",
        ),
        (
            "mon1",
            "flower",
            {"status": 401, "msg": "HTTP Error 401: Unauthorized"},
            "mon1: HTTP Error 401: Unauthorized",
        ),
        ("mon1", "flower", {"status": 200, "json": {"default@w1": False}}, "mon1: sees default@w1 offline"),
        (
            "mon1",
            "prometheus",
            {"status": -1, "msg": "Status code was -1 and not [200]: Request failed"},
            "mon1: Status code was -1 and not [200]: Request failed; there, type `systemctl status prometheus`",
        ),
        ("mon1", "postgresql", {"rc": 2, "stderr": "psql: error: connection refused"}, "mon1: psql: error: connection"),
        (
            "mq2",
            "rabbitmq",
            without(broker(), "file_handles"),
            "mq2: the answer lacks file_handles; there, type `systemctl status rabbitmq-server`",
        ),
        ("mq2", "rabbitmq", broker(version=3), "mq2: the answer lacks version; there, type `systemctl status rabbit"),
        (
            "mq1",
            "rabbitmq",
            without(broker(QUEUE | {"name": "default"}), "consumers"),
            "mq1: the answer lacks leads.consumers; there, type",
        ),
        ("mq2", "rabbitmq", said("[]"), "mq2: the answer lacks everything; there, type"),
        ("mq2", "rabbitmq", said("{}"), "mq2: the answer lacks state; there, type"),
        ("lb1", "keepalived", without(keepalived(), "state"), "lb1: keepalived: the answer lacks state; there, type"),
        (
            "lb1",
            "haproxy",
            {"servers": [{"backend": "amqp", "name": "mq1"}]},
            "lb1: the answer lacks status; there, type `systemctl status haproxy`",
        ),
        (
            "w1",
            "celery_worker",
            without(worker(), "pool"),
            "*@w1: the answer lacks default.pool; there, type `supervisorctl status`",
        ),
        ("w1", "celery_worker", worker(arguments=None), "default@w1: its processes have ended meanwhile; there, type"),
        ("w2", "celery_beat", without(beat(), "locked"), "w2: the answer lacks locked; there, type `supervisorctl st"),
        ("mon1", "redis", without(redis(), "keys"), "*@mon1: the answer lacks locks.databases.0.keys; there, type"),
        ("mon1", "flower", {"status": 200}, "mon1: the answer lacks everything; there, type `supervisorctl status fl"),
        (
            "mon1",
            "prometheus",
            {"status": 200, "json": {"data": {}}},
            "mon1: the answer lacks data.result; there, type `systemctl status prometheus`",
        ),
        (
            "mon1",
            "postgresql",
            without(databases(DATABASE), "version"),
            "mon1: the answer lacks databases.version;",
        ),
        ("mon1", "web", {"status": 503, "msg": "HTTP Error 503: Service Unavailable"}, "mon1: HTTP Error 503: Service"),
    ],
)
def test_what_is_wrong_has_a_sentence_and_the_rest_is_shown(facts, host, role, answer, problem):
    titles = list(status_of(facts)["parts"])
    facts["answers"][host][role] = answer
    status = status_of(facts)
    assert any(found.startswith(problem) for found in status["problems"]), status["problems"]
    assert list(status["parts"]) == titles


def test_a_haproxy_without_a_shared_address_is_well(facts):
    facts["shared_address"] = ""
    del facts["answers"]["lb1"]["keepalived"]
    assert status_of(facts)["problems"] == []


def test_what_prometheus_warns_of_is_named(facts):
    firing = {"__name__": "ALERTS", "alertstate": "firing", "instance": "mq1"}
    facts["answers"]["mon1"]["prometheus"]["json"]["data"]["result"] += [
        {"metric": UP["metric"] | {"instance": "mq1"}, "value": [1795660000, "0"]},
        {"metric": firing | {"alertname": "HostDown"}, "value": [1795660000, "1"]},
        {"metric": firing | {"alertname": "QueueWithoutConsumers", "queue": "slow"}, "value": [1795660000, "1"]},
        {"metric": firing | {"alertname": "ClockOff", "alertstate": "pending"}, "value": [1795660000, "1"]},
    ]
    (line,) = status_of(facts)["parts"]["Prometheus"]
    assert (line["targets_up"], line["targets"]) == (1, 2)
    assert line["alerts"] == ["HostDown mq1", "QueueWithoutConsumers slow"]


def test_two_holders_of_the_shared_address_are_a_problem(facts):
    facts["groups"]["haproxy"].append("lb2")
    facts["answers"]["lb2"] = facts["answers"]["lb1"]
    assert status_of(facts)["problems"] == ["192.0.2.20: is held by lb1 and lb2"]


def test_without_a_lock_a_scheduler_that_runs_is_active(facts):
    facts["scheduler"] = "file"
    facts["answers"]["w2"]["celery_beat"] = beat()
    assert status_of(facts)["problems"] == []


def test_where_nothing_answers_each_part_says_so(facts):
    facts["answers"] = {host: {} for host in facts["answers"]}
    status = status_of(facts)
    assert {line["name"] for part in status["parts"].values() for line in part if line["problems"]} == {
        "mq1", "mq2", "default", "others: 0", "lb1", "192.0.2.20", "*@w1", "w1", "w2", "schedule", "*@mon1", "mon1",
    }  # fmt: skip


def test_what_is_not_known_is_neither_zero_nor_left_out(facts):
    facts["answers"]["mq1"]["rabbitmq"] = broker(
        QUEUE | {"name": "default", "in_per_second": None}, disk_free_bytes=None
    )
    facts["answers"]["mon1"]["redis"] = redis(memory_bytes=None, clients=None, uptime_seconds=None)
    parts = status_of(facts)["parts"]
    assert (parts["Queues"][0]["in_per_second"], parts["Brokers"][0]["disk_free_bytes"]) == (None, None)
    assert parts["Redis"][0]["memory_bytes"] is None
    rows = {line.split()[0]: line for line in screen_of(facts).splitlines() if line}
    assert [rows[name].count("unknown") for name in ("default", "locks@mon1")] == [1, 3]


@pytest.mark.parametrize("more", [{"eviction_policy": "volatile-ttl"}, {"memory_limit_bytes": 0}])
def test_a_redis_that_evicts_or_has_no_limit_is_never_nearly_full(facts, more):
    facts["answers"]["mon1"]["redis"] = redis(memory_bytes=4 * 1024**2, **more)
    assert status_of(facts)["problems"] == []


HOSTILE = "x\x1b[2J\n\x07\u202e`reboot`$(reboot)"


def test_no_name_that_a_client_chose_reaches_the_terminal_as_it_is(facts):
    answers = facts["answers"]
    answers["mq1"]["rabbitmq"] = broker(
        QUEUE | {"name": "default", "type": HOSTILE, "mirrors": [HOSTILE]}, alarms=[HOSTILE], version=HOSTILE
    )
    answers["lb1"]["haproxy"]["servers"].append(SERVER | {"name": HOSTILE, "status": "DOWN", "check": HOSTILE})
    answers["w1"]["celery_worker"] = worker(answering=False, error=HOSTILE, pool=HOSTILE)
    answers["w2"]["celery_beat"] = beat(locked=True, last_task_sent_at=HOSTILE, last_task=HOSTILE)
    answers["mon1"]["redis"] = redis(version=HOSTILE)
    alert = {"__name__": "ALERTS", "alertstate": "firing", "alertname": "EventsUnread", "queue": HOSTILE}
    down = {"__name__": "up", "job": HOSTILE, "instance": HOSTILE}
    answers["mon1"]["prometheus"]["json"]["data"]["result"] += [
        {"metric": alert, "value": [0, "1"]},
        {"metric": down, "value": [0, "0"]},
    ]
    answers["mon1"]["flower"] = {"status": 500, "msg": HOSTILE}
    answers["mon1"]["postgresql"] = databases(DATABASE | {"name": HOSTILE})
    text = screen_of(facts)
    assert "x?[2J" in text
    assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
    assert "`reboot`" not in "\n".join(status_of(facts)["problems"])


def test_the_action_returns_colours_and_writes_json(facts, tmp_path):
    facts["answers"]["mq2"]["rabbitmq"] = STOPPED
    result, written = kit.run_action("warren_status", facts, tmp_path)
    assert written == status_of(facts)
    assert (result["changed"], result["problems"]) == (False, written["problems"])
    assert "\x1b[31m  does not run; there, type `systemctl status rabbitmq-server`\x1b[0m" in result["screen"]
    assert "\x1b[32mmq1" in result["screen"]


@pytest.mark.parametrize("file", ["{{ folder }}/taken/status.json", "{{ folder }}"])
def test_what_the_action_cannot_do_is_a_sentence(tmp_path, file):
    (tmp_path / "taken").touch()
    wrong = cluster_facts() | {"thresholds": {"clock_seconds": "much"}}
    for facts, sentence in (
        (cluster_facts(), "cannot be written: "),
        ({"environment": "lab"}, "`facts` lacks "),
        (wrong, "`cluster_threshold_clock_seconds` is 'much'; give it a number above 0."),
    ):
        task = {"name": "Run it", "warren_status": {"facts": facts, "file": file}}
        play = {"name": "Act", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
        (tmp_path / "play.json").write_text(json.dumps([play]))
        done = kit.run(
            "ansible-playbook", tmp_path / "play.json", *kit.extra_vars(folder=tmp_path, ansible_become=False)
        )
        assert (done.returncode, sentence in done.stdout + done.stderr) == (2, True), done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_the_format_of_each_section_is_documented(facts):
    """The fields of docs/formats.md are those that lines have."""
    said = {}
    for title, names in re.findall(r"^\| (\w+) \| ((?:`\w+`,? ?)+)\| .+ \| .+ \|$", FORMATS, re.MULTILINE):
        said.setdefault(title, []).extend(re.findall(r"\w+", names))
    found = {
        title: sorted({name for line in lines for name in line} - {"name", "problems"})
        for title, lines in status_of(facts)["parts"].items()
    }
    assert {title: sorted(names) for title, names in said.items()} == found


def documented(section):
    """The fields in the rows of a section of docs/formats.md: the first column whose texts are in backticks."""
    text = FORMATS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|(?: \w+ \|)? ((?:`[^`]+`(?:, )?)+) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def fields_of(value, prefix=""):
    """The names of a dict's fields, and those of the dicts that its lists hold."""
    names = set()
    for name, item in value.items():
        names.add(prefix + name)
        for one in item if isinstance(item, list) else []:
            names |= fields_of(one, f"{prefix}{name}[].") if isinstance(one, dict) else set()
    return names


def test_each_field_of_the_files_is_documented(facts):
    status = status_of(facts)
    assert status.keys() <= documented(".cache/status.json")
    assert fields_of(doctor.verdict(facts, doctor.examine(facts))) == documented(".cache/verify.json")


def test_each_field_of_what_programs_answer_is_documented():
    said = documented(".cache/status.json") | documented("What only the doctor looks at")
    # The size of a pool has another name on the screen.
    names = {field.name for kind in (Program, Scheduler) for field in fields(kind)} - {"concurrency"}
    assert names <= said


def test_what_a_release_is_measured_for_is_documented():
    said = (kit.PROJECT / "roles/celery_app/files/check_app.py").read_text().split('"""')[1]
    assert documented("measured.json of a release") == set(re.findall(r"^    (\w+) -- ", said, re.MULTILINE))
