"""The scheduler says when it will look at its schedule again: a real one, with the rendered settings and a broker."""

import os
import re
import time

import pytest
from kit import PROJECT
from shop_project import Shop, until

pytestmark = pytest.mark.lengthy


class Scheduler(Shop):
    """A `celery beat`, and the file whose time it sets."""

    ROLES = ("celery_app", "celery_beat")

    def __init__(self, folder, port):
        super().__init__(
            folder,
            port,
            celery_beat_scheduler="file",
            celery_beat_max_loop_interval_seconds=2,
            celery_beat_schedule=[{"name": "poll", "task": "shop.pay", "every_seconds": 1}],
        )
        self.file = folder / "scheduler.prom"
        self.file.touch()
        os.utime(self.file, (0, 0))
        settings = self.settings / "celery_beat/beatconfig.py"
        own = f"beat_schedule_filename = {str(folder / 'schedule')!r}\n_beatdue.FILE = {str(self.file)!r}\n"
        settings.write_text(settings.read_text() + own)
        self.environment["CELERY_CONFIG_MODULE"] = "beatconfig"
        self.import_from(PROJECT / "roles/celery_beat/files")
        self.import_from(settings.parent)
        self.process = self.start("celery", "-A", "shop", "beat", "--loglevel=INFO")

    def late(self):
        """For how many seconds it should have looked."""
        return time.time() - self.file.stat().st_mtime

    def said(self, words):
        return len(re.findall(words, self.output()))


@pytest.fixture
def scheduler(broker, port, tmp_path):
    scheduler = Scheduler(tmp_path, port)
    scheduler.broker = broker
    yield scheduler
    scheduler.end()


def test_the_files_time_is_when_the_scheduler_will_look_again(scheduler):
    until(lambda: scheduler.said("Sending due task poll") > 1)
    until(lambda: -2 <= scheduler.late() < 1)

    # A queue that takes no more refuses what is published, with the kit's confirms.
    bound = '{"max-length": 1, "overflow": "reject-publish"}'
    scheduler.broker.ctl("set_policy", "--apply-to", "queues", "full", "^default$", bound)
    until(lambda: scheduler.late() > 3)
    sent = scheduler.said("Sending due task poll")
    until(lambda: scheduler.said("Sending due task poll") > sent)
    until(lambda: scheduler.said("Message Error") > 1)

    scheduler.broker.ctl("clear_policy", "full")
    until(lambda: scheduler.late() < 1)

    scheduler.process.kill()
    until(lambda: scheduler.late() > 3)


def test_without_the_file_it_works_all_the_same(scheduler):
    scheduler.file.unlink()
    until(lambda: scheduler.said("Sending due task poll") > 1)
    assert scheduler.process.poll() is None
