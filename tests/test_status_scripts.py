"""The scripts of roles' vars/status.yml read what the programs of a host print, and print JSON."""

import json
import os
import subprocess
import sys

import pytest
from kit import PROJECT
from warren import model

BEAT_RUNS = "echo 'beat                             RUNNING   pid 1605, uptime 0:03:51'"
STARTING = "[2026-11-26 02:30:43,932: INFO/MainProcess] beat: Starting..."
ACQUIRED = "[2026-11-26 02:30:43,999: INFO/MainProcess] beat: Acquired lock"
SENDING = (
    "[2026-11-26 03:00:00,012: INFO/MainProcess] Scheduler: Sending due task nightly (warren_app.tasks.count_words)"
)
NEVER = {"last_task_sent_at": None, "last_task": None}
SENT = {"last_task_sent_at": "2026-11-26 03:00:00", "last_task": "nightly"}
SENT_JSON = {"last_task_sent_at": "2026-11-26T03:00:00.012000+00:00", "last_task": "nightly"}
INFO = r"""# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:61\r\nconnected_clients:2\r\nused_memory:1048576\r
maxmemory:4194304\r\nmaxmemory_policy:noeviction\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb1:keys=1,expires=1,avg_ttl=9\r\n"""
UNKNOWN = dict.fromkeys(
    ["version", "memory_bytes", "memory_limit_bytes", "eviction_policy", "clients", "uptime_seconds"]
)


def as_json(line):
    """A line of the log as celery_app's log format json has it."""
    time, message = line[1:].split(",")[0], line.split("] ", 1)[1]
    milliseconds = line.split(",")[1][:3]
    fields = {"level": "INFO", "message": message, "timestamp": f"{time.replace(' ', 'T')}.{milliseconds}000+00:00"}
    return json.dumps(fields)


@pytest.fixture
def status(tmp_path):
    """Runs a role's status.py as the role does, on a host whose programs are shell scripts."""

    def run(role, *arguments, **programs):
        for name, text in programs.items():
            program = tmp_path / "bin" / name.replace("_", "-")
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        return subprocess.run(
            [sys.executable, "-", *map(str, arguments)],
            input=(PROJECT / "roles" / role / "files/status.py").read_text(),
            env=os.environ | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def found(done):
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("logs", "locked", "sent"),
    [
        ({}, False, NEVER),
        ({"beat.log": [STARTING, ACQUIRED, SENDING]}, True, SENT),
        ({"beat.log.1": [STARTING, ACQUIRED, SENDING], "beat.log": ["other"]}, True, SENT),
        ({"beat.log.1": [STARTING, ACQUIRED, SENDING], "beat.log": [STARTING]}, False, SENT),
        ({"beat.log": map(as_json, [STARTING, ACQUIRED, SENDING])}, True, SENT_JSON),
    ],
)
def test_a_scheduler_has_the_lock_if_it_acquired_it_since_it_started(status, tmp_path, logs, locked, sent):
    for name, lines in logs.items():
        (tmp_path / name).write_text("\n".join([*lines, ""]))
    due = tmp_path / "scheduler.prom"
    assert found(status("celery_beat", tmp_path / "beat.log", due, supervisorctl=BEAT_RUNS))["looks_at"] is None
    due.touch()
    os.utime(due, (1, 1795660003))
    done = status("celery_beat", tmp_path / "beat.log", due, supervisorctl=BEAT_RUNS)
    assert found(done) == {"state": "RUNNING", "error": None, "locked": locked, "looks_at": 1795660003.0} | sent


@pytest.mark.parametrize(
    ("program", "state", "error"),
    [
        ("echo 'beat    FATAL     Exited too quickly'; exit 3", "FATAL", None),
        ("echo 'beat: ERROR (no such process)'; exit 4", None, "beat: ERROR (no such process)\n"),
        ("echo 'unix:///run/supervisor.sock refused' >&2; exit 4", None, "unix:///run/supervisor.sock refused\n"),
    ],
)
def test_what_supervisord_says_of_the_scheduler(status, tmp_path, program, state, error):
    said = found(status("celery_beat", tmp_path / "beat.log", tmp_path / "none", supervisorctl=program))
    assert (said["state"], said["error"]) == (state, error)


@pytest.mark.parametrize(
    ("links", "holds"), [("[{},{}]", False), ("", False), ('[{},{"addr_info":[{"local":"192.0.2.20"}]}]', True)]
)
@pytest.mark.parametrize("state", ["active", "inactive"])
def test_keepalived_runs_and_holds_the_address(status, links, holds, state):
    done = status("keepalived", "192.0.2.20", systemctl=f"echo {state}; [ {state} = active ]", ip=f"echo '{links}'")
    assert found(done) == {"state": state, "holds_address": holds}


def test_an_ip_that_fails_is_no_host_without_the_address(status):
    done = status("keepalived", "192.0.2.20", systemctl="echo active", ip="echo broken; exit 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("returned non-zero exit status 1.")


def test_each_instance_of_redis_is_asked(status):
    """One answers, one wants another password, one is late, one does not run."""
    instances = {"locks": 6380, "results": 6379, "late": 1, "down": 2}
    answers = f"""case $1 in
    locks) printf '{INFO}' ;;
    results) echo 'NOAUTH Authentication required.' ;;
    late) exit 124 ;;
    *) echo 'Could not connect' >&2; exit 1 ;;
    esac; [ "$2" = INFO ]"""
    said = found(status("redis", json.dumps(instances), redis_ask=answers))
    assert {name: instance["port"] for name, instance in said.items()} == instances
    assert said["locks"] == {
        "port": 6380,
        "error": None,
        "version": "7.0.15",
        "memory_bytes": 1048576,
        "memory_limit_bytes": 4194304,
        "eviction_policy": "noeviction",
        "clients": 2,
        "uptime_seconds": 61,
        "databases": {"0": {"keys": 3, "expire": 0}, "1": {"keys": 1, "expire": 1}},
    }
    assert said["results"] == {"port": 6379, "error": "NOAUTH Authentication required.\n", "databases": {}} | UNKNOWN
    assert said["late"]["error"] == "no answer in time"
    assert said["down"]["error"] == "Could not connect\n"


def test_what_an_instance_of_redis_does_not_say_is_not_known(status):
    said = found(status("redis", '{"locks": 1}', redis_ask="echo redis_version:7.0.15"))
    assert said["locks"] == {"port": 1, "error": None, "databases": {}} | UNKNOWN | {"version": "7.0.15"}


def test_a_host_without_redis_names_what_is_missing(status):
    assert "redis-ask" in found(status("redis", '{"locks": 1}'))["locks"]["error"]


@pytest.mark.parametrize(
    ("role", "arguments", "kind"),
    [
        ("host", ["localhost"], model.Host),
        ("celery_app", ["/nowhere"], model.Project),
        ("celery_beat", ["/nowhere", "/nowhere"], model.Scheduler),
        ("keepalived", ["192.0.2.20"], model.Keepalived),
        ("redis", ['{"locks": 1}'], dict[str, model.Redis]),
    ],
)
def test_the_screen_and_the_doctor_can_read_what_a_script_prints(status, role, arguments, kind):
    programs = {
        "supervisorctl": BEAT_RUNS,
        "systemctl": "echo active",
        "ip": "echo '[]'",
        "redis_ask": f"printf '{INFO}'",
    }
    model.typed(kind, found(status(role, *arguments, **programs)), "")


@pytest.mark.parametrize(
    "supervisord",
    [
        "echo 'default    RUNNING   pid 99999999, uptime 0:03:51'",
        "echo 'default    STOPPED   Not started'",
        "echo 'unix:///run/supervisor.sock refused' >&2; exit 4",
    ],
)
def test_a_worker_program_has_every_field_whatever_is_known(status, supervisord):
    """Of the first one the process has ended meanwhile."""
    said = found(status("celery_worker", "run", "w1", "default", supervisorctl=supervisord, run="echo '{}'"))
    assert said["default"].keys() == {"pid", *model.Program.__dataclass_fields__}
    program = model.typed(dict[str, model.Program], said, "")["default"]
    assert (program.answering, program.memory_bytes, program.arguments, program.done) == (False, None, None, None)


@pytest.mark.parametrize(
    ("line", "state", "seconds"),
    [
        ("default    RUNNING   pid 99999999, uptime 0:03:51", "RUNNING", 231),
        ("default    RUNNING   pid 99999999, uptime 1 day, 2:00:01", "RUNNING", 93601),
        ("default    RUNNING   pid 99999999, uptime 12 days, 0:00:00", "RUNNING", 1036800),
        ("default    STOPPED   Not started", "STOPPED", None),
        ("", None, None),
    ],
)
def test_an_uptime_of_supervisord_is_seconds(line, state, seconds):
    """The function alone: the script wants a process of that number."""
    script = {"__name__": "status"}
    exec((PROJECT / "roles/celery_worker/files/status.py").read_text(), script)
    script["subprocess"] = type("Said", (), {"run": lambda *_, **__: subprocess.CompletedProcess([], 0, line)})
    program = script["supervised"]().get("default", {"state": None, "uptime_seconds": None})
    assert (program["state"], program["uptime_seconds"]) == (state, seconds)
