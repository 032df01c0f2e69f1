"""The watchdog restarts a worker whose pool does nothing, and no other: real workers and a real broker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import PROJECT
from rabbitmq import url_of

pytestmark = pytest.mark.lengthy

SHOP = """
import os, time
from celery import Celery
from celery.signals import worker_process_init

app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")

@worker_process_init.connect
def begin(**_):
    time.sleep(float(os.environ.get("BEGIN", "0")))

@app.task(name="shop.pay")
def pay(seconds=0):
    time.sleep(seconds)

@app.task(name="shop.limited", rate_limit="1/h")
def limited():
    pass
"""
START_SECONDS, TRIES = 2, 4
WATCHDOG = PROJECT / "roles/celery_worker/files/celery-watchdog"


class Worker:
    """A worker under a supervisord that only says that it runs, and the watchdog."""

    def __init__(self, folder, port, pool="prefork", **environment):
        self.folder = folder
        (folder / "shop.py").write_text(SHOP)
        (folder / "settings.py").write_text(
            f"broker_url = {url_of(port)!r}\ntask_acks_late = True\nworker_prefetch_multiplier = 2\n"
            f"worker_proc_alive_timeout = {START_SECONDS}\nworker_max_tasks_per_child = 2\n"
            "worker_consumer = 'remotecontrol:Consumer'\n"
        )
        paths = os.pathsep.join([str(folder), str(PROJECT / "roles/celery_app/files")])
        programs = Path(sys.executable).parent
        path = f"{folder}:{programs}:{os.environ['PATH']}"
        settings = {"CELERY_CONFIG_MODULE": "settings", "PYTHONPATH": paths, "PATH": path}
        self.environment = os.environ | settings | environment
        options = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--concurrency=1", "-lINFO"]
        self.process = subprocess.Popen(
            ["celery", "-A", "shop", "worker", "--hostname=default@here", "--pool", pool, *options],
            cwd=folder,
            env=self.environment,
            stdout=(folder / "output").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for name, text in {
            "supervisorctl": f"echo 'default   RUNNING   pid {self.process.pid}, uptime 0:00:09'",
            "run": 'exec "$@"',
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.3)

    def send(self, task, number, *arguments, **options):
        code = f"import shop\nfor _ in range({number}): shop.app.send_task({task!r}, {arguments!r}, **{options!r})"
        subprocess.run(["python", "-c", code], cwd=self.folder, env=self.environment, check=True, timeout=60)

    def watch(self, program="default"):
        """What the watchdog says in one run, and tells Prometheus."""
        done = subprocess.run(
            [
                sys.executable,
                WATCHDOG,
                self.folder / "run",
                "celerycontrol",
                "here",
                str(TRIES),
                "0",
                self.folder,
                program,
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, (self.folder / "pools.prom").read_text()

    def output(self):
        return (self.folder / "output").read_text()

    def child(self):
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True)
        return found.stdout.split()[-1]

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


@pytest.fixture
def start(port, tmp_path):
    started = []

    def start(**given):
        started.append(Worker(tmp_path, port, **given))
        started[-1].until(lambda: "ready." in started[-1].output())
        return started[-1]

    yield start
    for worker in started:
        worker.stop()
        subprocess.run(["celery", "-A", "shop", "purge", "-f"], cwd=tmp_path, env=worker.environment, check=False)


def until_killed(worker):
    """What the watchdog said in each run, until it killed the worker."""
    runs = []
    while worker.process.poll() is None:
        assert len(runs) < 3 * TRIES
        runs.append(worker.watch())
        time.sleep(1)
    return runs


def test_a_worker_whose_processes_are_killed_before_they_begin_is_restarted(start):
    worker = start(BEGIN="6")
    worker.send("shop.pay", 6)
    runs = until_killed(worker)
    # It has done some at first: the first processes have no such limit.
    said = runs[-1][0]
    assert "default@here" in said and "holds tasks and has begun none for" in said
    assert "raise worker_proc_alive_timeout" in said
    assert [text for text, _ in runs[:-1]] == [""] * (len(runs) - 1) and len(runs) >= TRIES
    assert runs[0][1] == 'warren_pool_idle{program="default"} 0\n'
    assert runs[-1][1] == 'warren_pool_idle{program="default"} 1\n'


def test_a_worker_whose_processes_stand_still_is_restarted(start):
    worker = start()
    os.kill(int(worker.child()), 19)
    worker.send("shop.pay", 6)
    runs = until_killed(worker)
    assert "holds tasks and has begun none for" in runs[-1][0]
    assert "alive_timeout" not in runs[-1][0]
    assert len(runs) >= TRIES


def test_a_program_that_is_only_looked_at_is_told_of_and_left_alone(start):
    worker = start()
    os.kill(int(worker.child()), 19)
    worker.send("shop.pay", 6)
    for _ in range(TRIES + 4):
        said, metric = worker.watch("default:look")
        assert said == ""
        time.sleep(1)
    assert metric == 'warren_pool_idle{program="default"} 1\n'
    # Frozen itself, it gives no answer.
    os.kill(worker.process.pid, 19)
    assert worker.watch("default:look") == ("", "")
    assert worker.process.poll() is None


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_worker_can_write_where_it_stands(start, pool):
    """As the watchdog wants it to before it kills it."""
    worker = start(pool=pool)
    worker.send("shop.pay", 1, 20)
    worker.until(lambda: "received" in worker.output())
    os.kill(worker.process.pid, signal.SIGUSR1)
    worker.until(lambda: ", in pay\n    time.sleep(seconds)" in worker.output())
    assert "remotecontrol.py" in worker.output()
    assert worker.process.poll() is None


def test_a_worker_that_works_or_has_nothing_to_do_is_left_alone(start):
    worker = start()
    quiet = ("", 'warren_pool_idle{program="default"} 0\n')
    assert [worker.watch() for _ in range(TRIES)] == [quiet] * TRIES
    worker.send("shop.limited", 2)
    worker.send("shop.pay", 2, countdown=600)
    assert [worker.watch() for _ in range(TRIES + 1)] == [quiet] * (TRIES + 1)
    worker.send("shop.pay", 3, 600)
    assert [worker.watch() for _ in range(TRIES + 2)] == [quiet] * (TRIES + 2)
    assert json.loads((worker.folder / "pools.json").read_text()) == {}
    assert worker.process.poll() is None


def test_what_is_remembered_of_a_pool_ends_with_its_program(start):
    worker = start()
    (worker.folder / "pools.json").write_text(json.dumps({"default": {"pid": 1, "idle": True}}))
    (worker.folder / "pools.prom").write_text('warren_pool_idle{program="default"} 1\n')
    (worker.folder / "supervisorctl").write_text("#!/bin/sh\necho 'default   STOPPED   Nov 27 08:18 PM'\n")
    assert worker.watch() == ("", "")
    assert json.loads((worker.folder / "pools.json").read_text()) == {}


@pytest.mark.parametrize(
    ("uptime", "killed"),
    [("0:00:09", False), ("0:06:39", False), ("0:06:41", True), ("1 day, 0:00:00", True), ("12 days, 1:02:03", True)],
)
def test_a_program_that_may_still_import_the_project_is_left_alone(tmp_path, uptime, killed):
    script = "trap 'echo asked' USR1; echo ready; while :; do sleep 0.1; done"
    program = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert program.stdout.readline() == "ready\n"
        for name, text in {
            "supervisorctl": f"echo 'default   RUNNING   pid {program.pid}, uptime {uptime}'",
            # Nobody answers.
            "run": "echo {}",
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            [sys.executable, WATCHDOG, tmp_path / "run", "celerycontrol", "here", "1", "400", tmp_path, "default"],
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        time.sleep(0.2)
        assert (program.poll() is not None, "killing it" in done.stdout) == (killed, killed)
        # It could write where it stood.
        if killed:
            assert program.stdout.read() == "asked\n"
    finally:
        program.kill()
        program.communicate()
