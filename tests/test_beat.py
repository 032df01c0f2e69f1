"""The scheduler says when it will look at its schedule again: a real one, with the rendered settings and a broker."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import INVENTORIES, PROJECT
from rabbitmq import free_port, running_rabbitmq, url_of
from test_templates import Rendered

pytestmark = pytest.mark.lengthy

SHOP = """
from celery import Celery
app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")

@app.task(name="shop.poll")
def poll():
    pass
"""


class Scheduler:
    """A `celery beat`, and the file whose time it sets."""

    def __init__(self, folder, port):
        rendered = Rendered(
            folder,
            INVENTORIES["lab"],
            *["--limit", "w1"],
            celery_app_broker_urls=url_of(port),
            celery_app_queues=[{"name": "default", "routes": ["*"]}],
            celery_app_result_backend="disabled",
            celery_beat_scheduler="file",
            celery_beat_max_loop_interval_seconds=2,
            celery_beat_schedule=[{"name": "poll", "task": "shop.poll", "every_seconds": 1}],
        )
        self.file, self.output = folder / "scheduler.prom", folder / "output"
        self.file.touch()
        os.utime(self.file, (0, 0))
        ((_, settings),) = rendered.files("beatconfig.py")
        own = f"beat_schedule_filename = {str(folder / 'schedule')!r}\n_beatdue.FILE = {str(self.file)!r}\n"
        settings.write_text(settings.read_text() + own)
        (folder / "shop.py").write_text(SHOP)
        files = [PROJECT / f"roles/{role}/files" for role in ("celery_app", "celery_beat")]
        paths = [settings.parent, settings.parent.parent / "celery_app", *files, folder]
        self.process = subprocess.Popen(
            [Path(sys.executable).parent / "celery", "-A", "shop", "beat", "--loglevel=INFO"],
            cwd=folder,
            env=os.environ | {"CELERY_CONFIG_MODULE": "beatconfig", "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=self.output.open("wb"),
            stderr=subprocess.STDOUT,
        )

    def late(self):
        """For how many seconds it should have looked."""
        return time.time() - self.file.stat().st_mtime

    def said(self, words):
        return len(re.findall(words, self.output.read_text()))


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def scheduler(tmp_path):
    port = free_port()
    (tmp_path / "rabbitmq").mkdir()
    with running_rabbitmq(tmp_path / "rabbitmq", port) as broker:
        scheduler = Scheduler(tmp_path, port)
        scheduler.broker = broker
        yield scheduler
        scheduler.process.kill()
        scheduler.process.wait()


def test_the_files_time_is_when_the_scheduler_will_look_again(scheduler):
    until(lambda: scheduler.said("Sending due task poll") > 1)
    assert -2 <= scheduler.late() < 1

    # A queue that takes no more refuses what is published, with the kit's confirms.
    bound = '{"max-length": 1, "overflow": "reject-publish"}'
    scheduler.broker.ctl("set_policy", "--apply-to", "queues", "full", "^default$", bound)
    until(lambda: scheduler.late() > 3)
    sent = scheduler.said("Sending due task poll")
    until(lambda: scheduler.said("Sending due task poll") > sent)
    assert scheduler.said("Message Error") > 1

    scheduler.broker.ctl("clear_policy", "full")
    until(lambda: scheduler.late() < 1)

    scheduler.process.kill()
    until(lambda: scheduler.late() > 3)


def test_without_the_file_it_works_all_the_same(scheduler):
    scheduler.file.unlink()
    until(lambda: scheduler.said("Sending due task poll") > 1)
    assert scheduler.process.poll() is None
