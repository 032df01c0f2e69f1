"""With `celery_app_log_format: json` each line of a program's log is a JSON object that says which task it is about."""

import datetime
import json
import os
import re
import subprocess
import sys

import pytest
from kit import PROJECT
from shop_project import Shop, until

pytestmark = pytest.mark.lengthy

TASKS = """
import logging, os, signal, time
from celery import Celery
from celery.utils.log import get_task_logger

app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")
app.conf.beat_schedule = {"often": {"task": "shop.done", "schedule": 1.0, "args": ("beat-secret",)}}
app.conf.beat_schedule_filename = os.environ["RUNS"] + "/schedule"
log = get_task_logger(__name__)

@app.task(name="shop.done")
def done(secret):
    log.info("two\\nlines", extra={"shop": 5, "data": "mine"})
    print("printed\\ntext é")
    time.sleep(0.3)

@app.task(name="shop.fail")
def fail(secret):
    time.sleep(0.2)
    raise ValueError("of two\\nlines" + "!" * 20000)

@app.task(name="shop.again", bind=True, max_retries=1)
def again(self, secret):
    if self.request.retries == 0:
        raise self.retry(exc=KeyError("not yet"), countdown=0)

@app.task(name="shop.die")
def die(secret):
    os.kill(os.getpid(), signal.SIGKILL)
"""
OWN_LOGGING = """
import sys
from celery.signals import setup_logging

@setup_logging.connect
def own(**_):
    logging.basicConfig(stream=sys.stderr, level="INFO", format="OWN %(message)s")
"""
OWN_HANDLER = """
from celery.signals import after_setup_logger

@after_setup_logger.connect
def own(logger, **_):
    handler = logging.FileHandler(os.environ["RUNS"] + "/own")
    handler.setFormatter(logging.Formatter("OWN %(message)s"))
    logger.addHandler(handler)
"""


class Logging(Shop):
    """A shop whose programs write JSON."""

    def __init__(self, folder, port):
        super().__init__(folder, port, celery_app_log_format="json")
        # As the wrapper `run` does for workers and the scheduler.
        self.environment["CELERY_QUIET"] = "true"
        # Before it sets up its logs, Celery warns root, as whom no program of the kit runs.
        self.environment["PYTHONWARNINGS"] = "ignore"

    def lines(self):
        return [json.loads(line) for line in self.output().splitlines()]

    def begin(self, pool):
        worker = self.worker("shop", pool, "here@here", "--concurrency=2", "--loglevel=INFO")
        until(lambda: " ready." in self.output())
        return worker

    def about(self, task_id):
        return [line for line in self.lines() if line.get("id") == task_id]


@pytest.fixture(scope="module")
def rendered(broker, tmp_path_factory):
    return Logging(tmp_path_factory.mktemp("shop"), broker.port)


@pytest.fixture
def shop(rendered):
    (rendered.folder / "output").write_bytes(b"")
    rendered.module.write_text(TASKS)
    yield rendered
    rendered.end()


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "eventlet"])
def test_each_line_of_a_worker_is_an_object(shop, pool):
    worker = shop.begin(pool)
    names = ["done", "fail", "again", *(["die"] if pool == "prefork" else [])]
    sends = "; ".join(f"shop.app.send_task('shop.{name}', ('top-secret',), task_id='{name}-1')" for name in names)
    code = f"import shop; shop.app.control.revoke('revoked-1', reply=True); {sends}"
    code += "; shop.app.send_task('shop.done', ('top-secret',), task_id='revoked-1')"
    assert shop.start("python", "-c", code).wait(timeout=60) == 0, shop.output()
    until(lambda: {"SUCCESS", "FAILURE", "RETRY", "REVOKED"} <= {line.get("state") for line in shop.lines()})
    until(lambda: len([line for line in shop.about("again-1") if line.get("state") == "SUCCESS"]) == 1)
    if pool == "prefork":
        until(lambda: any("Parked" in line["message"] for line in shop.lines()))
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    for line in shop.lines():
        assert {"timestamp", "level", "logger", "message", "process", "worker"} <= line.keys(), line
        then = datetime.datetime.fromisoformat(line["timestamp"])
        assert then.utcoffset() == datetime.timedelta(0)
        assert line["worker"] == "here@here"
        if "id" in line:
            assert (line["task"], line["queue"]) in {(f"shop.{name}", "default") for name in names}
    assert "top-secret" not in shop.output()
    assert "worker: Warm shutdown (MainProcess)" in [line["message"] for line in shop.lines()]

    done = {line.get("state", line["message"]): line for line in shop.about("done-1")}
    assert done.keys() == {"RECEIVED", "two\nlines", "printed\ntext é", "SUCCESS"}
    assert done["two\nlines"]["shop"] == 5
    assert 0.3 <= done["SUCCESS"]["runtime_seconds"] < 10
    assert "runtime_seconds" not in done["RECEIVED"]

    (failed,) = [line for line in shop.about("fail-1") if line.get("state") == "FAILURE"]
    assert failed["level"] == "ERROR"
    assert re.match(r"Traceback \(most recent call last\):\n(.*\n)+ValueError: of two\nlines!+$", failed["exception"])
    assert 0.2 <= failed["runtime_seconds"] < 10

    (retried,) = [line for line in shop.about("again-1") if line.get("state") == "RETRY"]
    assert "KeyError('not yet')" in retried["exception"]
    assert retried["runtime_seconds"] >= 0

    assert [line["state"] for line in shop.about("revoked-1")] == ["RECEIVED", "REVOKED"]
    if pool == "prefork":
        died = [line for line in shop.about("die-1") if "WorkerLostError" in line.get("exception", "")]
        assert len(died) == 3


def test_each_line_of_the_scheduler_is_an_object(shop):
    shop.start("celery", "-A", "shop", "beat", "--loglevel=INFO")
    until(lambda: shop.output().count("Sending due task often") > 1)
    assert "beat: Starting..." in [line["message"] for line in shop.lines()]
    assert "beat-secret" not in shop.output()


def test_a_project_that_sets_up_its_logs_keeps_them(shop):
    shop.module.write_text(TASKS + OWN_LOGGING)
    shop.begin("solo")
    assert "OWN here@here ready." in shop.output()


def test_a_handler_of_the_projects_own_keeps_its_format(shop):
    shop.module.write_text(TASKS + OWN_HANDLER)
    shop.begin("solo")
    assert "OWN here@here ready." in (shop.folder / "own").read_text()
    assert "here@here ready." in [line["message"] for line in shop.lines()]


# Four processes write long lines into a pipe that is read slowly.
MANY = """
import logging, os, sys
sys.path[:0] = sys.argv[1:]
import celerylogs
handler = celerylogs.Handler(sys.stderr)
handler.setFormatter(celerylogs.Formatter())
logging.getLogger().addHandler(handler)
os.fork(), os.fork()
for number in range(150):
    logging.error("a" * 20000)
"""


def test_lines_of_several_processes_are_not_mixed():
    writer = subprocess.Popen([sys.executable, "-c", MANY, PROJECT / "roles/celery_app/files"], stderr=subprocess.PIPE)
    read = b""
    while part := os.read(writer.stderr.fileno(), 1 << 17):
        read += part
    assert writer.wait(timeout=30) == 0
    lines = [json.loads(line)["message"] for line in read.splitlines()]
    assert lines == ["a" * 20000] * 600
