"""What waits for a project whose import takes 20 s waits long enough, and what can do without the import does."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment
from kit import INVENTORIES, PROJECT
from rabbitmq import free_port, running_rabbitmq, url_of
from test_templates import Rendered

pytestmark = pytest.mark.lengthy

SECONDS = 20
ROLES = PROJECT / "roles"
SCRIPTS = ROLES / "celery_app/files"


def waits(role):
    """The tries of the task in a role's health check that waits for a program, as an expression."""
    (block,) = yaml.safe_load((ROLES / role / "tasks/health.yml").read_text())
    (retries,) = [task["retries"] for task in block["block"] if f"{role}_import_seconds" in str(task.get("retries"))]
    return retries


@pytest.mark.parametrize(
    ("role", "usual", "seconds_each"),
    [("celery_worker", 6, 12), ("celery_beat", 12, 2), ("flower", 50, 1), ("web", 15, 2)],
)
def test_health_waits_for_an_import(role, usual, seconds_each):
    inputs = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text())

    def tries(seconds):
        given = inputs | {f"{role}_import_seconds": seconds}
        return NativeEnvironment().from_string(waits(role)).render(given)

    assert tries(0) == usual
    assert (tries(20.5) - usual) * seconds_each >= 4 * 20.5


class Slow:
    """The project, the rendered settings, a broker, and a worker that has just been started."""

    def __init__(self, folder, port):
        rendered = Rendered(
            folder,
            INVENTORIES["lab"],
            *["--limit", "w1"],
            celery_app_broker_urls=url_of(port),
            celery_app_queues=[{"name": "default", "routes": ["*"]}],
            celery_app_result_backend="disabled",
        )
        ((_, settings),) = rendered.files("celeryconfig.py")
        paths = [settings.parent, SCRIPTS, PROJECT / "tests/projects/slow"]
        self.folder, self.run_script = folder, folder / "run"
        self.environment = os.environ | {
            "CELERY_CONFIG_MODULE": "celeryconfig",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "IMPORT_SECONDS": str(SECONDS),
            "PATH": f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        self.run_script.write_text('#!/bin/sh\nexec "$@"\n')
        self.run_script.chmod(0o755)

    def start(self, *command, **options):
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **options)

    def done(self, *command, **options):
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True, check=False, **options
        )


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("slow"), free_port()
    slow = Slow(folder, port)
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), port), (folder / "log").open("w") as log:
        options = ["--concurrency=1", "--without-mingle", "--without-gossip", "--without-heartbeat"]
        worker = slow.start("celery", "-A", "slow", "worker", "--hostname=default@w1", *options, stdout=log, stderr=log)
        # What supervisord says of a program as soon as it has begun.
        supervisorctl = folder / "supervisorctl"
        supervisorctl.write_text(f"#!/bin/sh\necho 'default   RUNNING   pid {worker.pid}, uptime 0:00:05'\n")
        supervisorctl.chmod(0o755)
        yield slow
        worker.kill()
        worker.wait()


@pytest.fixture(scope="module")
def seconds_of_an_import(slow):
    """What the check of the release measures, while the worker starts."""
    done = slow.done(sys.executable, SCRIPTS / "check_app.py", "slow", "--child", timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["import_seconds"]


def test_the_check_measures_the_import(seconds_of_an_import):
    assert SECONDS <= seconds_of_an_import < 2 * SECONDS


def test_the_worker_answers_within_the_tries_of_its_health_check(slow, seconds_of_an_import):
    (block,) = yaml.safe_load((ROLES / "celery_worker/tasks/health.yml").read_text())
    (ping,) = [task for task in block["block"] if "until" in task]
    tries = NativeEnvironment().from_string(ping["retries"]).render(celery_worker_import_seconds=seconds_of_an_import)
    words = ["celery", "-A", "celerycontrol", "inspect", "ping", "--json", "--timeout=10", "--destination=default@w1"]
    for _ in range(tries):
        done = slow.done(*words, timeout=30)
        if done.returncode == 0:
            break
        time.sleep(ping["delay"])
    assert json.loads(done.stdout) == {"default@w1": {"ok": "pong"}}


def test_status_asks_without_the_import(slow, seconds_of_an_import):
    done = slow.done(
        *[sys.executable, "-", slow.run_script, "w1", "default"],
        input=(ROLES / "celery_worker/files/status.py").read_text(),
        timeout=SECONDS,
    )
    program = json.loads(done.stdout)["default"]
    assert (program["answering"], program["error"]) == (True, None)


def test_health_of_the_project_reads_its_settings(slow):
    done = slow.done("celery", "-A", "slow", "report", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "event_queue_ttl" in done.stdout


def test_the_smoke_test_counts_its_seconds_from_the_import_on(slow, seconds_of_an_import):
    # Less than the import takes.
    done = slow.done(sys.executable, SCRIPTS / "smoke.py", "slow", str(SECONDS // 2), "default", timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("default: done after ")
