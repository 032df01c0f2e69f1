"""The commands that the role rabbitmq installs, with the RabbitMQ of Debian 13."""

import os
from importlib.metadata import distribution

import pytest
from kit import PROJECT, run_in_the_validators_image

pytestmark = pytest.mark.lengthy

# Not all: what RabbitMQ 4 has changed.
TESTS = "json_of or quorum or waits_for or wrong_configuration or cookie or does_not_run"


def test_the_commands_work_on_rabbitmq_4():
    """Those of test_broker_commands.py, run there."""
    packages = distribution("kombu").locate_file("")
    # The packages are those of another Python, and the plugins of pytest among them not all pure Python.
    settings = {"PYTHONPATH": "/packages", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = run_in_the_validators_image(
        *("env", "--chdir=/kit", *(f"{name}={value}" for name, value in settings.items())),
        *("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_broker_commands.py", "-k", TESTS),
        volumes=[f"{os.path.realpath(packages)}:/packages:ro", f"{PROJECT}:/kit:ro"],
        release="trixie",
    )
    assert done.returncode == 0, done.stdout + done.stderr
