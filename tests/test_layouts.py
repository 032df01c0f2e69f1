"""Projects of other layouts: installed from source, checked as a release is, and a worker does one of their tasks."""

import subprocess
import sys

import pytest
from kit import PROJECT
from shop_project import SCRIPTS, Shop, until

pytestmark = pytest.mark.lengthy


class Installed(Shop):
    """A project of tests/projects, installed by pip, with its settings and a broker."""

    def __init__(self, folder, port, name):
        super().__init__(folder, port)
        source, target = folder / "source", folder / "site-packages"
        subprocess.run(["cp", "-r", PROJECT / "tests/projects" / name, source], check=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, source]
        subprocess.run(pip, check=True)
        self.import_from(target)

    def checked(self, module):
        """What the check of a release says of it: exit code and sentence."""
        done = self.done("python", SCRIPTS / "check_app.py", module)
        return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("name", "module", "task"),
    [
        ("src_layout", "bookshop", "bookshop.work.note"),
        ("namespace", "acme.shop.celery", "acme.shop.tasks.note"),
        ("factory", "factory:workers", "factory.note"),
        ("steps", "steps", "steps.note"),
    ],
)
def test_a_worker_does_a_task_of_the_project(port, tmp_path, name, module, task):
    project, file = Installed(tmp_path, port, name), tmp_path / "file"
    assert project.checked(module) == (0, "")
    project.worker(module)
    try:
        project.send(task, args=[str(file)])
        until(file.exists)
        assert file.read_text() == "done"
    finally:
        project.end()


def test_a_queue_of_the_projects_own_is_refused(port, tmp_path):
    """Operators own queues; to reach every worker, Celery has `app.control.broadcast`."""
    code, said = Installed(tmp_path, port, "broadcast").checked("broadcast")
    assert code == 3
    assert "task_queues" in said
