"""The rendered settings while a broker is away: a real RabbitMQ, and Celery's commands in processes of their own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import INVENTORIES, PROJECT
from rabbitmq import free_port, running_rabbitmq, url_of
from test_templates import Rendered


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def start(tmp_path_factory, port):
    """start(ARGUMENT, …): the process of a celery command of the reference project on a worker host."""
    folder = tmp_path_factory.mktemp("settings")
    rendered = Rendered(
        folder,
        INVENTORIES["lab"],
        *["--limit", "w1"],
        # Two, as the lab has: the tries at each of them count.
        celery_app_broker_urls=url_of(port, port),
        celery_app_queues=[{"name": "default", "routes": ["*"]}],
        # There is no Redis.
        celery_app_result_backend="disabled",
    )
    ((_, settings),) = rendered.files("celeryconfig.py")
    environment = os.environ | {
        "CELERY_CONFIG_MODULE": "celeryconfig",
        "PYTHONPATH": os.pathsep.join(
            map(str, [settings.parent, PROJECT / "app/reference", *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        ),
    }
    processes = []

    def start(*arguments):
        processes.append(
            subprocess.Popen(
                [Path(sys.executable).parent / "celery", "-A", "warren_app", *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def early(start):
    """A publisher that began 8 s before there was a broker: twice as long as connecting may take."""
    publisher = start("call", "warren_app.tasks.count_words", "--args", '["a b c"]')
    time.sleep(8)
    assert publisher.poll() is None
    return publisher


@pytest.fixture(scope="module")
def broker(early, port, tmp_path_factory):
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), port) as broker:
        yield broker


def test_the_first_publish_of_a_process_waits_for_the_broker(early, broker):
    assert early.wait(timeout=30) == 0
    assert broker.ctl("list_queues", "--no-table-headers", "name", "messages").split() == ["default", "1"]
