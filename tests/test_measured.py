"""A release is measured on its host before anything switches to it; a limit that no process can keep ends the run."""

import json
import shutil
import sys

import pytest
from kit import PROJECT, extra_vars, run
from test_check_app import READS, SETTINGS

FILES = PROJECT / "roles/celery_app/files"
GOOD = f'from celery import Celery\napp = Celery("shop")\n{READS}'
PROGRAM = {"name": "default", "queues": ["default"], "concurrency": 1}

pytestmark = pytest.mark.lengthy


@pytest.fixture
def release(tmp_path):
    """release(LIMIT): the role looks at a release on this machine; returns the run and what it measured."""
    settings, folder = tmp_path / "settings", tmp_path / "releases/1"
    settings.mkdir()
    folder.mkdir(parents=True)
    (folder / ".complete").touch()
    (tmp_path / "celeryconfig.py").write_text(SETTINGS)
    (tmp_path / "shop.py").write_text(GOOD)
    paths = f"PATH={sys.prefix}/bin:$PATH PYTHONPATH={tmp_path}:{FILES} CELERY_CONFIG_MODULE=celeryconfig"
    (settings / "run").write_text(f'#!/bin/sh\nexport {paths}\nexec "$@"\n')
    (settings / "run").chmod(0o755)
    shutil.copy(FILES / "check_app.py", tmp_path)
    tasks = [
        {"name": "Look", "ansible.builtin.include_role": {"name": "celery_app", "tasks_from": "release"}},
        {"name": "Say", "ansible.builtin.debug": {"msg": "measured={{ celery_app_measured | to_json }}"}},
    ]
    # The role's inputs that this does not need.
    inputs = dict.fromkeys(["celery_app_name", "celery_app_source", "celery_app_module"], "shop")
    inputs |= {
        "celery_app_broker_urls": ["pyamqp://127.0.0.1"],
        "celery_app_queues": [{"name": "default", "routes": ["*"]}],
    }
    play = {"name": "Look", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.json").write_text(json.dumps([play | {"vars": inputs}]))

    def look(limit, *options):
        done = run(
            *["ansible-playbook", *options, tmp_path / "play.json"],
            *extra_vars(
                ansible_become=False,
                ansible_python_interpreter=sys.executable,
                __celery_app_home=str(tmp_path),
                __celery_app_settings_dir=str(settings),
                celery_app_release="1",
                celery_app_max_memory_per_child_kib=limit,
                celery_app_worker_programs=[PROGRAM],
            ),
        )
        file = folder / "measured.json"
        return done, json.loads(file.read_text()) if file.exists() else None

    return look


def test_a_limit_below_what_a_process_has_at_rest_ends_the_run(release):
    done, measured = release(20000)
    assert done.returncode == 2
    assert measured, done.stdout + done.stderr
    assert f"A pool process of shop has {measured['child_kib']} KiB on localhost before its first" in done.stdout
    assert "The project allows 20000 KiB, for default: set `celery_app_max_memory_per_child_kib` to " in done.stdout
    done, measured = release(262144)
    assert done.returncode == 0, done.stdout
    assert measured["child_kib"] > 20000


def test_what_was_measured_is_kept_with_the_release(release, tmp_path):
    assert release(0)[0].returncode == 0
    # In use now: it is not imported again, and a lower limit is compared all the same.
    (tmp_path / "run").symlink_to(tmp_path / "settings/run")
    (tmp_path / "shop.py").write_text("raise SystemExit\n")
    done, measured = release(0)
    assert done.returncode == 0, done.stdout
    assert f'"child_kib": {measured["child_kib"]}' in done.stdout.replace("\\", "")
    assert release(20000)[0].returncode == 2


@pytest.mark.parametrize("known", [None, {"import_seconds": 1, "child_kib": None}])
def test_what_an_earlier_run_did_not_measure_is_measured(release, tmp_path, known):
    (tmp_path / "run").symlink_to(tmp_path / "settings/run")
    if known:
        (tmp_path / "releases/1/measured.json").write_text(json.dumps(known))
    done, measured = release(0)
    assert done.returncode == 0, done.stdout
    assert measured["child_kib"] > 20000


def test_a_process_that_cannot_begin_ends_the_run(release, tmp_path):
    signals = "import os\nfrom celery.signals import worker_process_init as begins\n"
    dies = f"{signals}begins.connect(lambda **_: os._exit(1), weak=False)\n"
    (tmp_path / "shop.py").write_text(GOOD + dies)
    done, measured = release(0)
    assert (done.returncode, measured) == (2, None)
    assert "shop cannot begin its work, so" in done.stdout
    assert "A process of its pool ends before it can do a task." in done.stdout


def test_check_mode_measures_nothing(release):
    done, measured = release(20000, "--check")
    assert (done.returncode, measured) == (0, None), done.stdout
