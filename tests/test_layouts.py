"""Projects of other layouts: installed from source, checked as a release is, and a worker does one of their tasks."""

import os
import shutil
import subprocess
import sys

import pytest
from kit import PROJECT
from shop_project import SCRIPTS, Shop, until

pytestmark = pytest.mark.lengthy


PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


class Projects(Shop):
    """The settings, a broker, and projects of tests/projects that pip has installed."""

    def __init__(self, folder, port):
        super().__init__(folder, port)
        # What builds the projects: without it, pip would install it again for each of them.
        self.builder = os.environ | {"PYTHONPATH": str(folder / "builder")}
        subprocess.run([*PIP, "--target", folder / "builder", "setuptools"], check=True)

    def install(self, name):
        source, target = self.folder / name, self.folder / f"{name}-installed"
        shutil.copytree(PROJECT / "tests/projects" / name, source)
        pip = [*PIP, "--no-deps", "--no-build-isolation", "--target", target, source]
        subprocess.run(pip, check=True, env=self.builder)
        self.import_from(target)

    def checked(self, module):
        """What the check of a release says of it: exit code and sentence."""
        done = self.done("python", SCRIPTS / "check_app.py", module)
        return done.returncode, done.stderr


@pytest.fixture(scope="module")
def rendered(broker, tmp_path_factory):
    return Projects(tmp_path_factory.mktemp("shop"), broker.port)


@pytest.fixture
def projects(rendered, port):
    yield rendered
    rendered.end()


@pytest.mark.parametrize(
    ("name", "module", "task"),
    [
        ("src_layout", "bookshop", "bookshop.work.note"),
        ("namespace", "acme.shop.celery", "acme.shop.tasks.note"),
        ("factory", "factory:workers", "factory.note"),
        ("steps", "steps", "steps.note"),
    ],
)
def test_a_worker_does_a_task_of_the_project(projects, tmp_path, name, module, task):
    file = tmp_path / "file"
    projects.install(name)
    assert projects.checked(module) == (0, "")
    projects.worker(module)
    projects.send(task, args=[str(file)])
    until(file.exists)
    assert file.read_text() == "done"


def test_a_queue_of_the_projects_own_is_refused(projects):
    """Operators own queues; to reach every worker, Celery has `app.control.broadcast`."""
    projects.install("broadcast")
    code, said = projects.checked("broadcast")
    assert code == 3
    assert "task_queues" in said
