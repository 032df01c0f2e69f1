"""The rendered settings while a broker is away: a real RabbitMQ, and Celery's commands in processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import INVENTORIES, PROJECT
from rabbitmq import free_port, running_rabbitmq, url_of
from test_templates import Rendered

pytestmark = pytest.mark.lengthy


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
        roles=["celery_app"],
        # Two, as the lab has: the tries at each of them count.
        celery_app_broker_urls=url_of(port, port),
        celery_app_queues=[{"name": "default", "routes": ["*"]}],
        cluster_tls=False,
        # There is no Redis.
        celery_app_result_backend="disabled",
    )
    ((_, settings),) = rendered.files("celeryconfig.py")
    environment = os.environ | {
        "CELERY_CONFIG_MODULE": "celeryconfig",
        "PYTHONPATH": os.pathsep.join(
            map(str, [settings.parent, PROJECT / "roles/celery_app/files", PROJECT / "app/reference"])
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


# Closes the connection that consumes from a worker's remote control queue.
CLOSE_REMOTE_CONTROL = """
[rabbit_networking:close_connection(Connection, "test") ||
    Consumer <- rabbit_amqqueue:consumers_all(<<"/">>),
    element(4, proplists:get_value(queue_name, Consumer)) =:= <<"%s.celery.pidbox">>,
    {connection, Connection} <- rabbit_channel:info(proplists:get_value(channel_pid, Consumer), [connection])].
"""


@pytest.fixture(params=["gevent", "eventlet"])
def worker(request, start, broker):
    """A worker that answers: (its process, its name)."""
    name = f"{request.param}@here"
    options = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
    worker = start("worker", "--pool", request.param, "--concurrency", "2", "--hostname", name, *options)
    wait_for_answer(start, name)
    yield worker, name
    worker.terminate()
    assert worker.wait(timeout=30) == 0


def wait_for_answer(start, name):
    deadline = time.monotonic() + 20
    while start("inspect", "ping", "--timeout=2", "--destination", name).wait() != 0:
        assert time.monotonic() < deadline


def consumers(broker):
    """Each queue that is consumed and the channel that does: a queue twice if two do."""
    answer = json.loads(broker.ctl("list_consumers", "--formatter=json", "queue_name", "channel_pid"))
    return sorted((consumer["queue_name"], consumer["channel_pid"]) for consumer in answer)


def test_remote_control_that_lost_its_connection_connects_again(worker, start, broker):
    _, name = worker
    (_, remote_control), tasks = sorted(consumers(broker), key=lambda consumer: consumer[0] == "default")
    for _ in range(2):
        assert "ok" in broker.ctl("eval", CLOSE_REMOTE_CONTROL % name)
        wait_for_answer(start, name)
    after = consumers(broker)
    # The tasks' connection is the same.
    assert tasks in after and len(after) == 2 and remote_control not in dict(after).values()


def test_a_worker_that_lost_both_connections_has_one_remote_control(worker, start, broker):
    _, name = worker
    broker.ctl("close_all_connections", "test")
    wait_for_answer(start, name)
    # A second one would come after a second.
    time.sleep(3)
    assert [queue for queue, _ in consumers(broker)] == ["default", f"{name}.celery.pidbox"]
