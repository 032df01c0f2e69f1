"""What events that nobody reads cost the brokers: their resident memory before and after, while a monitor is frozen.

Usage: /opt/celery/NAME/run python - MODULE TITLE MONITOR SECONDS RATE METRICS_PORT AUTHORITY NAME=ADDRESS...
           < unread_events.py

Whoever starts this has frozen Flower. MONITOR is whether there is another one, as old versions of Celery had it, which
is connected to the first of the brokers NAME=ADDRESS: `none`, `frozen` or `slow`, which reads a tenth of the events.
AUTHORITY is the file with the certificate by which the brokers' metrics are known, or `none`, where these are plain.
RATE events a second are sent for SECONDS, or until a broker raises its memory alarm, which would stop all publishers of
the cluster. Prints what was sent, the head of a table, and its row TITLE.

Each event is a message of its own, which is the harder case: prefork workers put up to 24 into one.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import ssl
import statistics
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

from celery.app.utils import find_app
from celery.events.event import get_exchange
from kombu import Connection, Queue
from kombu.serialization import dumps

# Seconds between two checks of the brokers, and seconds over which the memory before and after is averaged. A broker
# itself checks its memory every 2.5 s, and the length of a queue every 5 s.
LOOK_SECONDS = 5
MEAN_SECONDS = 30
# A task's first event, which is the largest.
EVENT = "task-received"
MIB = 2**20


def fields():
    """The fields that a worker puts into the event, for a task with short arguments."""
    task = str(uuid.uuid4())
    return {
        "uuid": task,
        "name": "shop.tasks.send_invoice",
        "args": "('jane.doe@example.com', 4711)",
        "kwargs": "{'language': 'en', 'copy': False, 'template': 'invoice-2'}",
        "root_id": task,
        "parent_id": None,
        "retries": 0,
        "eta": None,
        "expires": None,
    }


class Broker:
    """A broker's metrics, which it tells without a password."""

    def __init__(self, named_address, port, authority, vhost):
        self.name, _, self.address = named_address.partition("=")
        self._tls = None if authority == "none" else ssl.create_default_context(cafile=authority)
        self._url = f"{'https' if self._tls else 'http'}://{self.address}:{port}/metrics"
        self._queues_url = f"{self._url}/detailed?" + urllib.parse.urlencode(
            {"family": "queue_coarse_metrics", "vhost": vhost}
        )
        self.memory = []
        self.alarm = False

    def look(self):
        """Note the resident memory and whether there is an alarm; returns name to messages of the event queues here."""
        metrics = read_metrics(self._url, self._tls)
        self.memory.append(metrics["rabbitmq_process_resident_memory_bytes"])
        self.alarm = metrics["rabbitmq_alarms_memory_used_watermark"] > 0
        return {
            name.split('queue="')[1].rstrip('"}'): messages
            for name, messages in read_metrics(self._queues_url, self._tls).items()
            if name.startswith("rabbitmq_detailed_queue_messages{") and 'queue="celeryev' in name
        }


def read_metrics(url, tls):
    """Name, with its labels, to value."""
    with urllib.request.urlopen(url, timeout=30, context=tls) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def send(app, rate, stop):
    """Send events until told to stop; returns how many, and in how many seconds."""
    sent = 0
    with app.connection_for_write() as connection:
        # An event that cannot be sent ends this, instead of being kept for later.
        dispatcher = app.events.Dispatcher(connection, buffer_while_offline=False)
        began = time.perf_counter()
        while not stop.is_set():
            dispatcher.send(EVENT, **fields())
            sent += 1
            if (ahead := began + sent / rate - time.perf_counter()) > 0:
                time.sleep(ahead)
        seconds = time.perf_counter() - began
        # A question on the same channel is answered after all events have arrived.
        dispatcher.exchange(connection.default_channel).declare(passive=True)
    return sent, seconds


def consume(app, address, name, pause, ready):
    """Be a monitor as old versions of Celery had it, which pauses after each event.

    Its queue asks for no bounds, and no HAProxy is between it and the broker.
    """
    login = app.connection_for_read()
    with Connection(
        address, login.userid, login.password, login.virtual_host, login.port, transport="pyamqp"
    ) as connection:
        queue = Queue(name, get_exchange(connection), routing_key="#", durable=False, auto_delete=True)
        with connection.Consumer([queue], callbacks=[lambda body, message: None], no_ack=True):
            ready.send(True)
            while True:
                connection.drain_events()
                time.sleep(pause)


@contextlib.contextmanager
def old_monitor(app, address, pause, frozen):
    """Such a monitor in a process of its own, stopped as soon as it consumes if it is to be frozen.

    It is gone with its queue afterwards.
    """
    name = f"celeryev.{uuid.uuid4()}"
    forked = multiprocessing.get_context("fork")
    heard, ready = forked.Pipe(duplex=False)
    process = forked.Process(target=consume, args=(app, address, name, pause, ready))
    process.start()
    # So that the end of the process ends the wait, too.
    ready.close()
    try:
        heard.recv()
        if frozen:
            os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.join()
        with app.connection_for_read() as connection:
            connection.default_channel.queue_delete(name)


def watch(brokers, seconds, ended=lambda: False):
    """Look at the brokers for so long, or until there is an alarm or `ended`.

    Returns seconds to name to messages of all event queues, a look each.
    """
    began, looks = time.monotonic(), {}
    while True:
        queues = {}
        for broker in brokers:
            queues |= broker.look()
        passed = time.monotonic() - began
        looks[passed] = queues
        if passed >= seconds or ended() or any(broker.alarm for broker in brokers):
            return looks
        time.sleep(min(LOOK_SECONDS, max(seconds - passed, 0)))


def main():
    module, title, monitor, seconds, rate, port, authority, *addresses = sys.argv[1:]
    seconds, rate = float(seconds), float(rate)
    app = find_app(module)
    # A confirm is a wait for each event, in which one process could not send so many.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "confirm_publish": False}
    vhost = app.connection_for_read().virtual_host
    brokers = [Broker(address, port, authority, vhost) for address in addresses]
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        # It outlives the monitor: under an alarm the sender waits until the monitor's queue is gone.
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        # Before the first thread, as it is forked.
        if monitor != "none":
            stack.enter_context(old_monitor(app, brokers[0].address, 10 / rate, monitor == "frozen"))
        watch(brokers, MEAN_SECONDS)
        if alarmed := [broker.name for broker in brokers if broker.alarm]:
            sys.exit(f"{', '.join(alarmed)} has a memory alarm already, so no event can be sent")
        before = {broker: statistics.mean(broker.memory) for broker in brokers}
        for broker in brokers:
            broker.memory.clear()
        sending = pool.submit(send, app, rate, stop)
        # Also where the watch fails: the pool waits for its thread.
        stack.callback(stop.set)
        looks = watch(brokers, seconds, sending.done)
        stop.set()
    sent, took = sending.result()

    last = sum(then >= max(looks) - MEAN_SECONDS for then in looks)
    after = {broker: statistics.mean(broker.memory[-last:]) for broker in brokers}
    most = max(brokers, key=lambda broker: max(broker.memory) / before[broker])
    notes = []
    if any(broker.alarm for broker in brokers):
        notes.append(f"memory alarm after {max(looks):.0f} s")
    unread = {name for queues in looks.values() for name, messages in queues.items() if messages}
    there = [then for then, queues in looks.items() if unread & queues.keys()]
    if gone := [then for then in looks if there and then > max(there)]:
        notes.append(f"the unread queue was gone after {min(gone):.0f} s")
    if sent / took < 0.95 * rate:
        notes.append(f"this machine cannot send {rate:.0f} a second")
    largest = max(messages for queues in looks.values() for messages in [0, *queues.values()])
    # What the dispatcher adds, always of the same length, so that each run prints the same head.
    added = {
        "type": EVENT,
        "hostname": "default@w1",
        "pid": 1000,
        "clock": 100000,
        "utcoffset": 0,
        "timestamp": 1e9 + 1e-6,
    }
    size = len(dumps({**fields(), **added}, "json")[2])
    print(f"{EVENT} events of {size} bytes for {seconds:.0f} s; resident memory in MiB of the broker whose grew most")
    print(f"{'':26}  {'sent':>7}  a second  broker    before  at most   after  change  largest event queue")
    print(
        f"{title:26}  {sent:7}  {sent / took:8.0f}  {most.name:8}  {before[most] / MIB:6.0f}"
        f"  {max(most.memory) / MIB:7.0f}  {after[most] / MIB:6.0f}  {after[most] / before[most] - 1:+6.0%}"
        f"  {largest:19.0f}  {', '.join(notes)}".rstrip()
    )


main()
