"""A project with the rendered settings, for tests with real workers and a real broker."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from kit import INVENTORIES, PROJECT
from rabbitmq import url_of
from test_templates import Rendered

SCRIPTS = PROJECT / "roles/celery_app/files"
PYTHONS = Path(sys.executable).parent

SHOP = """
import os, signal
from pathlib import Path
from celery import Celery
from celery.exceptions import Reject

app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")
RUNS = Path(os.environ["RUNS"])

def ran(name):
    with (RUNS / name).open("a") as runs:
        runs.write("run\\n")

@app.task(name="shop.pay")
def pay(name="pay"):
    ran(name)

@app.task(name="shop.refuse")
def refuse():
    ran("refuse")
    raise Reject("no", requeue=False)

@app.task(name="shop.kill")
def kill():
    ran("kill")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def until(condition, seconds=60):
    """Return when the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


# By what they were rendered from.
RENDERED = {}


def rendered(folder, port, roles, inputs):
    """What these roles write on a worker host, rendered below `folder` unless another test has rendered the same."""
    key = json.dumps([port, roles, inputs], sort_keys=True)
    if key not in RENDERED:
        RENDERED[key] = Rendered(
            folder,
            INVENTORIES["lab"],
            *["--limit", "w1"],
            roles=roles,
            celery_beat_broker_urls=[],
            cluster_tls=False,
            **{
                "celery_app_broker_urls": url_of(port),
                "celery_app_queues": [{"name": "default", "routes": ["*"]}],
                "celery_app_result_backend": "disabled",
            }
            | inputs,
        )
    return RENDERED[key]


class Shop:
    """A project, its settings, and the broker at `port`; `inputs` are those of roles, in place of the lab's."""

    ROLES = ("celery_app",)

    def __init__(self, folder, port, **inputs):
        self.folder, self.port, self.processes = folder, port, []
        self.settings = folder / "settings"
        shutil.copytree(rendered(folder, port, self.ROLES, inputs).folder / "w1", self.settings)
        self.module = folder / "shop.py"
        self.module.write_text(SHOP)
        self.environment = os.environ | {"CELERY_CONFIG_MODULE": "celeryconfig", "RUNS": str(folder), "PYTHONPATH": ""}
        for path in (folder, SCRIPTS, self.settings / "celery_app"):
            self.import_from(path)

    def import_from(self, path):
        """Have programs import from a folder, before all others."""
        self.environment["PYTHONPATH"] = f"{path}{os.pathsep}{self.environment['PYTHONPATH']}"

    def start(self, *command):
        """Start a program of Python's folder; its output is in the file `output`."""
        process = subprocess.Popen(
            [PYTHONS / command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment,
            stdout=(self.folder / "output").open("ab"),
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process

    def output(self):
        return (self.folder / "output").read_text(errors="replace")

    def done(self, *command, **options):
        """Run a program of Python's folder; what it printed, and its exit code."""
        return subprocess.run(
            [PYTHONS / command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **{"timeout": 60} | options,
        )

    def worker(self, module="shop", pool="solo", name="here@here", *options):
        """Start a worker with a pool of one."""
        few = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--concurrency=1"]
        return self.start("celery", "-A", module, "worker", f"--pool={pool}", f"--hostname={name}", *few, *options)

    def send(self, task, **options):
        self.send_all((task, options))

    def send_all(self, *tasks):
        """Send tasks, (name, options) each, from one process."""
        code = f"import shop\nfor task, options in {tasks!r}: shop.app.send_task(task, **options)"
        assert self.start("python", "-c", code).wait(timeout=30) == 0

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()
