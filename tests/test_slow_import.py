"""What waits for a project whose import takes 20 s waits long enough, and what can do without the import does."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment
from kit import PROJECT
from shop_project import PYTHONS, SCRIPTS, Shop

pytestmark = pytest.mark.lengthy

SECONDS = 20
ROLES = PROJECT / "roles"


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


class Slow(Shop):
    """The project, and a supervisord that only says that its worker runs."""

    def __init__(self, folder, port):
        super().__init__(folder, port)
        self.import_from(PROJECT / "tests/projects/slow")
        self.run_script = folder / "run"
        self.environment |= {"IMPORT_SECONDS": str(SECONDS), "PATH": f"{folder}:{PYTHONS}:/usr/bin:/bin"}
        self.write_program("run", 'exec "$@"')
        running = self.worker("slow", "prefork", "default@w1")
        self.write_program("supervisorctl", f"echo 'default   RUNNING   pid {running.pid}, uptime 0:00:05'")

    def write_program(self, name, text):
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)


@pytest.fixture(scope="module")
def slow(broker, tmp_path_factory):
    slow = Slow(tmp_path_factory.mktemp("slow"), broker.port)
    # They import the project side by side with the worker.
    with ThreadPoolExecutor() as pool:
        slow.check = pool.submit(slow.done, "python", SCRIPTS / "check_app.py", "slow", "--child", timeout=120)
        slow.report = pool.submit(slow.done, "celery", "-A", "slow", "report", timeout=120)
        yield slow
    slow.end()


@pytest.fixture(scope="module")
def seconds_of_an_import(slow):
    """What the check of the release measures, while the worker starts."""
    done = slow.check.result()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["import_seconds"]


def test_the_check_measures_the_import(seconds_of_an_import):
    assert seconds_of_an_import >= SECONDS


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
        *["python", "-", slow.run_script, "w1", "default"],
        input=(ROLES / "celery_worker/files/status.py").read_text(),
        timeout=SECONDS,
    )
    program = json.loads(done.stdout)["default"]
    assert (program["answering"], program["error"]) == (True, None)


def test_health_of_the_project_reads_its_settings(slow):
    done = slow.report.result()
    assert done.returncode == 0, done.stderr
    assert "event_queue_ttl" in done.stdout


def test_the_smoke_test_counts_its_seconds_from_the_import_on(slow, seconds_of_an_import):
    # Less than the import takes.
    done = slow.done("python", SCRIPTS / "smoke.py", "slow", str(SECONDS // 2), "default", timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("default: done after ")
