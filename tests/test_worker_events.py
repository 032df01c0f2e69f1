"""A worker's events and its answers to commands are news: no worker waits for a broker to confirm them.

And no program waits for ever for any answer of a broker.
"""

import os
import socket
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from kit import PROJECT
from rabbitmq import url_of

pytestmark = pytest.mark.lengthy

SHOP = """
from celery import Celery

app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")

@app.task(name="shop.pay")
def pay():
    print("paid", flush=True)
"""
PING = """
import shop

for _ in range(20):
    if shop.app.control.ping(timeout=2, limit=1):
        break
else:
    raise SystemExit("the worker does not answer")
"""
PUBLISH = """
import shop
shop.pay.delay()
"""
# `Confirm.Select-Ok` and `Channel.Open-Ok`, as AMQP numbers their classes and methods.
SELECTED, OPENED = b"\x00\x55\x00\x0b", b"\x00\x14\x00\x0b"


class Forgetful:
    """A way to the broker on which the broker's answer to the wish for confirms gets lost, and one answer in `lost`."""

    def __init__(self, port):
        self.broker = port
        self.lost = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.broker))
                for run, source, target in ((self.copy, client, server), (self.copy_frames, server, client)):
                    threading.Thread(target=run, args=(source, target), daemon=True).start()

    def copy(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def copy_frames(self, source, target):
        stream = source.makefile("rb")
        with suppress(OSError):
            while head := stream.read(7):
                rest = stream.read(int.from_bytes(head[3:], "big") + 1)
                if self.lost and rest.startswith(self.lost[0]):
                    self.lost.pop()
                elif not rest.startswith(SELECTED):
                    target.sendall(head + rest)
            target.shutdown(socket.SHUT_WR)


class Programs:
    """A worker that is connected by a forgetful way, and programs that send to it directly."""

    def __init__(self, folder, port, pool, seconds):
        self.folder, self.way = folder, Forgetful(port)
        (folder / "shop.py").write_text(SHOP)
        for name, through in (("worker", self.way.port), ("publisher", port)):
            (folder / f"{name}.py").write_text(
                f"import brokeranswers\nbrokeranswers.install({seconds})\n"
                f"broker_url = {url_of(through)!r}\n"
                f"broker_transport_options = {{'confirm_publish': {name == 'worker'}}}\n"
                f"worker_consumer = 'remotecontrol:Consumer'\ntask_default_queue = 'events-{pool}'\n"
                "worker_send_task_events = True\n"
            )
        paths = os.pathsep.join([str(folder), str(PROJECT / "roles/celery_app/files")])
        self.environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        options = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--concurrency=1", f"--pool={pool}"]
        with (folder / "output").open("wb") as log:
            self.worker = subprocess.Popen(
                ["celery", "-A", "shop", "worker", f"--hostname={pool}@events", *options],
                cwd=folder,
                env=self.environment | {"CELERY_CONFIG_MODULE": "worker"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, script, settings="publisher"):
        command = ["python", "-c", script]
        environment = self.environment | {"CELERY_CONFIG_MODULE": settings}
        subprocess.run(command, cwd=self.folder, env=environment, check=True, timeout=60)

    def wait_until_paid(self):
        deadline = time.monotonic() + 30
        while "paid" not in (self.folder / "output").read_text():
            assert time.monotonic() < deadline, (self.folder / "output").read_text()
            time.sleep(0.3)


@pytest.fixture
def started(port, tmp_path):
    """started(pool, seconds) -> Programs, whose worker answers."""
    running = []

    def start(pool, seconds=45):
        running.append(Programs(tmp_path, port, pool, seconds))
        running[0].run(PING)
        return running[0]

    yield start
    # One that waits for an answer does not stop.
    running[0].worker.kill()
    running[0].worker.wait()
    running[0].way.listener.close()


POOLS = pytest.mark.parametrize("pool", ["gevent", "prefork"])


@POOLS
def test_a_worker_waits_for_no_confirm_of_its_news(started, pool):
    programs = started(pool)
    programs.run(PUBLISH)
    programs.wait_until_paid()


@POOLS
def test_a_worker_does_not_wait_for_ever_for_an_answer(started, pool):
    """It opens the channel for its events when it has the first."""
    programs = started(pool, seconds=3)
    programs.way.lost.append(OPENED)
    programs.run(PUBLISH)
    programs.wait_until_paid()
    assert programs.way.lost == []


def test_a_publisher_does_not_wait_for_ever_for_an_answer(started):
    programs = started("prefork", seconds=3)
    programs.way.lost.append(OPENED)
    (programs.folder / "forgotten.py").write_text(
        (programs.folder / "publisher.py").read_text() + f"broker_url = {url_of(programs.way.port)!r}\n"
    )
    programs.run(PUBLISH, settings="forgotten")
    programs.wait_until_paid()
    assert programs.way.lost == []
