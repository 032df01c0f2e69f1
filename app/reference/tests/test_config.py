"""The contract with the kit. Each case needs a fresh interpreter: an app is configured once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
from warren_app.celery import app
print(app.conf.broker_url, app.connection_for_write().transport.driver_type)
print(app.conf.task_default_queue)
"""
ADDRESS = "amqp://kit:secret@mq.example//"


@pytest.fixture
def run(tmp_path):
    """Run Python in a folder whose celeryconfig.py holds `text`, CELERY_CONFIG_MODULE=config."""

    def run(*command, config=None, text=""):
        (tmp_path / "celeryconfig.py").write_text(text)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("CELERY_")
        }
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        if config is not None:
            environment["CELERY_CONFIG_MODULE"] = config
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("config", [None, ""])
def test_without_a_configuration_the_memory_broker_is_used(run, config):
    result = run("-c", SHOW, config=config, text="broker_url = 'amqp://unused//'")
    assert result.stdout.splitlines() == ["memory:// memory", "celery"]


def test_the_kits_configuration_wins(run):
    text = f"broker_url = {ADDRESS!r}\ntask_default_queue = 'kit'\n"
    result = run("-c", SHOW, config="celeryconfig", text=text)
    assert result.stdout.splitlines() == [f"{ADDRESS} amqp", "kit"]


def test_the_variable_may_name_an_object_in_a_module(run):
    # Celery reads CELERY_CONFIG_MODULE by itself as well, but only as the name of a module; this
    # form needs the line that is the contract.
    text = f"class Kit:\n    broker_url = {ADDRESS!r}\n    task_default_queue = 'kit'\n"
    result = run("-c", SHOW, config="celeryconfig:Kit", text=text)
    assert result.stdout.splitlines() == [f"{ADDRESS} amqp", "kit"]


def test_the_kits_imports_are_kept(run):
    code = (
        "from warren_app.celery import app; app.loader.import_default_modules();"
        "import sys; print('extra' in sys.modules, 'warren_app.ledger.record' in app.tasks)"
    )
    run("-c", "open('extra.py', 'w')")
    result = run("-c", code, config="celeryconfig", text="include = ['extra']")
    assert result.stdout.split() == ["True", "True"], result.stderr


@pytest.mark.parametrize(
    ("config", "text", "error"),
    [
        ("no_such_module", "", "No module named 'no_such_module'"),
        ("celeryconfig", "import no_such_dependency", "No module named 'no_such_dependency'"),
        ("celeryconfig", "import os; os.no_such_name", "no_such_name"),
        ("celeryconfig", "broker_url =", "SyntaxError"),
    ],
)
def test_a_configuration_that_cannot_be_imported_is_an_error(run, config, text, error):
    shown = run("-c", SHOW, config=config, text=text)
    assert shown.returncode != 0
    assert error in shown.stderr
    started = run("-m", "celery", "-A", "warren_app", "worker", config=config, text=text)
    assert started.returncode != 0
    assert error in started.stderr


def test_ledger_submit_names_the_variable(run):
    code = "import sys; from warren_app.ledger.cli import main; sys.exit(main(['submit']))"
    result = run("-c", code, config="no_such_module")
    assert result.returncode == 2
    assert "CELERY_CONFIG_MODULE" in result.stderr
    assert "Traceback" not in result.stderr


def test_celery_finds_the_app(run):
    text = "broker_url = 'memory://'\ntask_default_queue = 'kit'\n"
    result = run("-m", "celery", "-A", "warren_app", "report", config="celeryconfig", text=text)
    assert result.returncode == 0
    assert "task_default_queue: 'kit'" in result.stdout
