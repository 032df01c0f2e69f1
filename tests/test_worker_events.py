"""A worker's events and its answers to commands are news: no worker waits for a broker to confirm them."""

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
PUBLISHER = """
import shop

for _ in range(20):
    if shop.app.control.ping(timeout=2, limit=1):
        break
else:
    raise SystemExit("the worker does not answer")
shop.pay.delay()
"""
# `Confirm.Select-Ok`, as AMQP numbers its class and method.
SELECTED = b"\x00\x55\x00\x0b"


class Forgetful:
    """A way to the broker on which the broker's answer to the wish for confirms gets lost."""

    def __init__(self, port):
        self.broker = port
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
                if not rest.startswith(SELECTED):
                    target.sendall(head + rest)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("pool", ["gevent", "prefork"])
def test_a_worker_waits_for_no_confirm_of_its_news(port, tmp_path, pool):
    (tmp_path / "shop.py").write_text(SHOP)
    way = Forgetful(port)
    for name, through in (("worker", way.port), ("publisher", port)):
        (tmp_path / f"{name}.py").write_text(
            f"broker_url = {url_of(through)!r}\nbroker_transport_options = {{'confirm_publish': True}}\n"
            f"worker_consumer = 'remotecontrol:Consumer'\ntask_default_queue = 'events-{pool}'\n"
            "worker_send_task_events = True\n"
        )
    paths = os.pathsep.join([str(tmp_path), str(PROJECT / "roles/celery_app/files")])
    environment = {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    options = ["--without-mingle", "--without-gossip", "--without-heartbeat", "--concurrency=1", f"--pool={pool}"]
    output = tmp_path / "output"
    with output.open("wb") as log:
        worker = subprocess.Popen(
            ["celery", "-A", "shop", "worker", f"--hostname={pool}@events", *options],
            cwd=tmp_path,
            env=os.environ | environment | {"CELERY_CONFIG_MODULE": "worker"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        subprocess.run(
            ["python", "-c", PUBLISHER],
            cwd=tmp_path,
            env=os.environ | environment | {"CELERY_CONFIG_MODULE": "publisher"},
            check=True,
            timeout=60,
        )
        deadline = time.monotonic() + 30
        while "paid" not in output.read_text():
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.3)
    finally:
        # One that waits for a confirm does not stop.
        worker.kill()
        worker.wait()
        way.listener.close()
