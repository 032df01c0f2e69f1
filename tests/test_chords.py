"""Chords, which Celery does through the result backend, although results are ignored unless a task keeps its own.

Real workers, brokers and Redis, with the rendered settings.
"""

import contextlib
import subprocess
import time

import pytest
from kit import PROJECT
from rabbitmq import free_port
from shop_project import Shop, until

pytestmark = pytest.mark.lengthy


@contextlib.contextmanager
def running_redis(folder):
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


class Chords(Shop):
    """The project, with a result backend."""

    def __init__(self, folder, port, backend, redis_url=""):
        super().__init__(folder, port, celery_app_result_backend=backend, celery_app_result_redis_url=redis_url)
        self.import_from(PROJECT / "tests/projects/chords")

    def begin(self, options="{}"):
        """Send the chord; the process, and the file with the sum."""
        file = self.folder / "sum"
        return self.start("python", "-c", f"import chords; chords.begin({str(file)!r}, **{options})"), file


def test_a_chord_works_with_redis_although_results_are_ignored(port, tmp_path):
    with running_redis(tmp_path) as url:
        project = Chords(tmp_path, port, "redis", url)
        project.worker("chords")
        try:
            process, file = project.begin()
            assert process.wait(timeout=60) == 0, project.output()
            until(file.exists)
            assert file.read_text() == "3"
        finally:
            project.end()


@pytest.mark.parametrize("backend", ["disabled", "rpc"])
def test_a_chord_that_the_backend_cannot_do_is_an_error_of_its_sender(port, tmp_path, backend):
    """Nothing is accepted, so nothing is lost."""
    project = Chords(tmp_path, port, backend)
    process, file = project.begin()
    assert process.wait(timeout=60) == 1
    assert "NotImplementedError" in project.output()
    assert not file.exists()


def test_with_django_the_tasks_before_the_last_must_keep_their_results(port, tmp_path):
    project = Chords(tmp_path, port, "django-db")
    project.environment["DJANGO_SETTINGS_MODULE"] = "chords_settings"
    assert project.start("python", "-m", "django", "migrate").wait(timeout=60) == 0
    project.worker("chords", "solo", "here@here", "--loglevel=INFO")
    try:
        _, file = project.begin()
        until(lambda: project.output().count("succeeded") == 2)
        # Nothing says that the last task is never sent.
        time.sleep(5)
        assert not file.exists()
        second, _ = project.begin({"ignore_result": False})
        assert second.wait(timeout=60) == 0
        until(file.exists)
        assert file.read_text() == "3"
    finally:
        project.end()
