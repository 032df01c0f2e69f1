"""What several tests of this folder use."""

import os
import subprocess
from pathlib import Path

import pytest
from kombu import Connection
from rabbitmq import free_port, running_rabbitmq, url_of


@pytest.fixture
def place():
    """A folder below which only root may write, unlike those below /tmp."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders away")
    made = subprocess.run(["mktemp", "-d", "-p", "/var/lib"], capture_output=True, text=True, check=True)
    folder = Path(made.stdout.strip())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-r", folder], check=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The RabbitMQ of all test files: its start takes as long as many tests."""
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def broker(server):
    """A RabbitMQ that has nothing of another test file."""
    server.clear()
    return server


@pytest.fixture
def port(broker):
    """The broker's, with no task of another test in the queue `default`."""
    with Connection(*url_of(broker.port)) as connection:
        connection.default_channel.queue_delete("default")
    return broker.port


def pytest_collection_modifyitems(items):
    """Begin with the files that take long: side by side, one of them at the end would run alone."""
    lengthy = {item.path for item in items if item.get_closest_marker("lengthy")}
    items.sort(key=lambda item: item.path not in lengthy)
