"""The screen of status.yml says what is wrong and what to type, and shows the rest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import status_screen
from cluster_facts import BEAT, INFO, QUEUE, SERVER, UP, broker, cluster_facts, said, worker

SCRIPT = Path(status_screen.__file__)


@pytest.fixture
def facts():
    return cluster_facts()


def status_of(facts):
    shown = status_screen.sections(facts)
    return status_screen.status(facts, shown)


def test_where_all_is_well_there_is_no_problem(facts):
    status = status_of(facts)
    assert status["problems"] == []
    assert (status["environment"], status["time"]) == ("lab", "2026-11-26T02:26:40+00:00")
    assert {title: [line["name"] for line in lines] for title, lines in status["parts"].items()} == {
        "Brokers": ["mq1", "mq2"],
        "Queues": ["default", "others: 1"],
        "HAProxy": ["lb1"],
        "Workers": ["default@w1"],
        "Scheduler": ["w1", "w2"],
        "Redis": ["locks@mon1"],
        "Flower": ["mon1"],
        "Prometheus": ["mon1"],
        "PostgreSQL": ["warren@mon1"],
        "Site": ["mon1"],
    }


def test_the_lines_say_how_much(facts):
    parts = status_of(facts)["parts"]
    assert parts["Brokers"][0] | {"problems": 0} == {
        "name": "mq1",
        "problems": 0,
        "version": "3.10.8",
        "up for": "1 h 2 min",
        "memory": "136 MiB of 512 MiB",
        "disk free": "2.0 GiB",
        "connections": "4",
        "leads": "2",
        "alarms": "0",
    }
    assert parts["Queues"][0]["leader"] == "mq1"
    assert (parts["Queues"][0]["ready"], parts["Queues"][0]["out/s"]) == ("3", "10.0")
    assert parts["HAProxy"][0]["address"] == "192.0.2.20"
    assert parts["Scheduler"][1]["last task sent"] == "2026-11-26 03:00:00 nightly"
    assert (parts["Redis"][0]["keys"], parts["Redis"][0]["memory"]) == ("4", "1 MiB of 4 MiB")
    assert parts["Flower"][0]["workers online"] == "1 of 1"
    assert parts["PostgreSQL"][0]["size"] == "8 MiB"


def test_a_queue_says_how_old_its_oldest_message_is(facts):
    facts["answers"]["mq1"]["rabbitmq"] = broker(QUEUE | {"name": "default", "oldest_message_time": 1795659400})
    assert status_of(facts)["parts"]["Queues"][0]["oldest"] == "10 min 0 s ago"


STOPPED = {"rc": 69, "stdout": "", "stderr": "Error: unable to perform an operation on node 'rabbit@mq2'. Please see"}
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
        ("lb1", "keepalived", said("inactive\n"), "lb1: keepalived does not run; there, type `systemctl status keepa"),
        ("lb1", "keepalived", said("active\n"), "192.0.2.20: is held by no host"),
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
        ("w2", "celery_beat", said(BEAT), "schedule: no scheduler is active, so nothing is sent"),
        ("w2", "celery_beat", said("beat   FATAL   Exited too quickly"), "w2: does not run; there, type `supervisorct"),
        ("mon1", "redis", {"results": [said("NOAUTH Authentication required.")]}, "*@mon1: NOAUTH Authentication requ"),
        (
            "mon1",
            "redis",
            {"results": [said(INFO.replace("used_memory:1", "used_memory:4"))]},
            "*@mon1: its memory is nearly full",
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
    facts["answers"]["lb1"]["keepalived"] = {"skipped": True, "skip_reason": "Conditional result was False"}
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
    assert (line["targets"], line["alerts"]) == ("1 of 2 up", "HostDown mq1, QueueWithoutConsumers slow")


def test_two_holders_of_the_shared_address_are_a_problem(facts):
    facts["groups"]["haproxy"].append("lb2")
    facts["answers"]["lb2"] = facts["answers"]["lb1"]
    assert status_of(facts)["problems"] == ["192.0.2.20: is held by lb1 and lb2"]


def test_without_a_lock_a_scheduler_that_runs_is_active(facts):
    facts["scheduler"] = "file"
    facts["answers"]["w2"]["celery_beat"] = said(BEAT)
    assert status_of(facts)["problems"] == []


def test_where_nothing_answers_each_part_says_so(facts):
    facts["answers"] = {host: {} for host in facts["answers"]}
    status = status_of(facts)
    assert {line["name"] for part in status["parts"].values() for line in part if line["problems"]} == {
        "mq1", "mq2", "default", "lb1", "192.0.2.20", "*@w1", "w1", "w2", "schedule", "*@mon1", "mon1",
    }  # fmt: skip


def test_the_command_prints_colours_and_writes_json(facts, tmp_path):
    facts["answers"]["mq2"]["rabbitmq"] = STOPPED
    file = tmp_path / "new" / "status.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, file], input=json.dumps(facts), capture_output=True, text=True, check=True
    )
    assert json.loads(file.read_text()) == status_of(facts)
    assert "\x1b[31m  does not run; there, type `systemctl status rabbitmq-server`\x1b[0m" in done.stdout
    assert "\x1b[32mmq1" in done.stdout
