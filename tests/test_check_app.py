"""A project that does not keep the settings, or cannot begin, is found before anything switches to it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kit import PROJECT

SETTINGS = """
broker_url = "pyamqp://127.0.0.1//"
broker_transport_options = {"confirm_publish": True}
task_acks_late = True
result_backend = "disabled://"
accept_content = ["json"]
worker_consumer = "celeryparking:Consumer"
task_compression = None
worker_proc_alive_timeout = 2
ONCE = {}
"""
READS = 'app.config_from_envvar("CELERY_CONFIG_MODULE")\n'


def environment(folder):
    paths = f"{folder}:{PROJECT}/roles/celery_app/files"
    return os.environ | {"CELERY_CONFIG_MODULE": "celeryconfig", "PYTHONPATH": paths}


def check(folder, lines, *options):
    (folder / "celeryconfig.py").write_text(SETTINGS)
    (folder / "shop.py").write_text(f"from celery import Celery\n{lines}")
    return subprocess.run(
        [sys.executable, PROJECT / "roles/celery_app/files/check_app.py", "shop", *options],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        (f'app = Celery("shop")\n{READS}', 0, ""),
        # Celery's own loader reads the variable, too.
        ('app = Celery("shop")\n', 0, ""),
        (f'app = Celery("shop")\n{READS}app.conf.task_time_limit = 9\n', 0, ""),
        (f'app = Celery("shop")\n{READS}app.conf.ONCE = {{1: 2}}\n', 0, ""),
        ('app = Celery("shop")\napp.config_from_object({"task_time_limit": 9})\n', 3, "add the line `app.config_from"),
        (f'app = Celery("shop", broker="redis://127.0.0.1")\n{READS}', 3, "cluster's settings broker_url. Take them"),
        (f'app = Celery("shop")\n{READS}app.conf.update(task_acks_late=False)\n', 3, "settings task_acks_late."),
        (
            f'app = Celery("shop")\n{READS}app.conf.broker_transport_options = {{"visibility_timeout": 9}}\n',
            3,
            "settings broker_transport_options.",
        ),
        ("import no_such_module\n", 1, "No module named 'no_such_module'"),
    ],
)
def test_the_contract_is_checked(tmp_path, lines, code, words):
    done = check(tmp_path, lines)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


# What a project has, and what each of its pool processes loads.
LARGE = f"""app = Celery("shop")
{READS}
from celery.signals import worker_process_init
SHARED = b"x" * 50 * 2**20
print("imported")

@worker_process_init.connect
def load(**_):
    global OWN
    OWN = b"x" * 70 * 2**20
    open("loaded", "w").close()
"""


def test_what_a_pool_process_needs_is_what_one_of_a_worker_has(tmp_path):
    done = check(tmp_path, LARGE, "--child")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["child_kib"]
    assert said > 120 * 1024
    (tmp_path / "loaded").unlink()
    celery = [Path(sys.executable).parent / "celery", "-A", "shop", "--broker=memory://", "worker", "--loglevel=INFO"]
    options = ["--concurrency=1", "--without-mingle", "--without-gossip"]
    (tmp_path / "celeryconfig.py").write_text("")
    worker = subprocess.Popen(
        [*celery, *options], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    # Whatever is waited for below comes within this time, or the worker ends.
    timer = threading.Timer(60, worker.kill)
    timer.start()
    try:
        assert any(b" ready." in line for line in worker.stdout)
        while not (tmp_path / "loaded").exists() and worker.poll() is None:
            time.sleep(0.1)
        (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        # As getrusage() counts: also what was needed only for a while.
        most = int(re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{child}/status").read_text(), re.M)[1])
    finally:
        timer.cancel()
        worker.kill()
        worker.communicate()
    assert abs(said - most) < most / 20


def test_the_seconds_of_an_import_are_measured(tmp_path):
    lines = f'import time\ntime.sleep(1)\nprint("imported")\napp = Celery("shop")\n{READS}'
    done = check(tmp_path, lines)
    said = json.loads(done.stdout)
    assert said["child_kib"] is None
    assert 1 <= said["import_seconds"] < 20


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("__import__('time').sleep(60)", "needs more than 2 s to begin, and Celery would kill each one: set"),
        ("__import__('os')._exit(1)", "ends before it can do a task"),
    ],
)
def test_a_pool_process_that_cannot_begin_is_found(tmp_path, does, words):
    signals = "from celery.signals import worker_process_init\n"
    hook = f"worker_process_init.connect(lambda **_: {does}, weak=False)\n"
    done = check(tmp_path, f'app = Celery("shop")\n{READS}{signals}{hook}', "--child")
    assert done.returncode == 4, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
