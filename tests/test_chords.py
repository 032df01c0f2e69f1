"""Chords, which Celery does through the result backend, although results are ignored unless a task keeps its own.

Real workers, brokers and Redis, with the rendered settings.
"""

import contextlib
import subprocess

import pytest
from kit import PROJECT
from rabbitmq import free_port, running_rabbitmq
from test_parking import Shop, until

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
        self.environment["PYTHONPATH"] += f":{PROJECT / 'tests/projects/chords'}"

    def begin(self):
        """Send the chord; the process, and the file with the sum."""
        file = self.folder / "sum"
        return self.start("python", "-c", f"import chords; chords.begin({str(file)!r})"), file


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    port = free_port()
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), port):
        yield port


def test_a_chord_works_with_redis_although_results_are_ignored(port, tmp_path):
    with running_redis(tmp_path) as url:
        project = Chords(tmp_path, port, "redis", url)
        project.start("celery", "-A", "chords", "worker", "--pool=solo", "--without-mingle", "--without-gossip")
        try:
            process, file = project.begin()
            assert process.wait(timeout=60) == 0, (tmp_path / "output").read_text()
            until(file.exists)
            assert file.read_text() == "3"
        finally:
            project.end()


@pytest.mark.parametrize("backend", ["disabled", "rpc"])
def test_a_chord_that_the_backend_cannot_do_is_an_error_of_its_sender(port, tmp_path, backend):
    """Nothing is accepted, so nothing is lost."""
    process, file = Chords(tmp_path, port, backend).begin()
    assert process.wait(timeout=60) == 1
    assert "NotImplementedError" in (tmp_path / "output").read_text()
    assert not file.exists()
