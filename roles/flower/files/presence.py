"""Tell monitors which workers are alive when workers send no heartbeats themselves. Works with any Celery project.

Usage: presence.py MODULE SECONDS TIMEOUT

Every SECONDS this asks all workers once what they are doing. For each worker that answers, it publishes a
`worker-heartbeat` event in the worker's name, which shows Flower and other monitors that the worker is alive. An event
is valid for twice SECONDS, so a worker that stops answering is shown offline within that time, and one lost answer does
no harm. Then a `worker-offline` event follows, for metrics that would not notice. A round ends when no answer has come
for TIMEOUT seconds.

A monitor that connects makes all workers send one heartbeat, which is valid for only 10 s. The next round then starts
immediately, or all workers would seem offline until it does. If the broker fails, this logs a line and tries again.
"""

import contextlib
import socket
import sys
import time

from celery.app.utils import find_app
from celery.worker.state import SOFTWARE_INFO
from kombu.exceptions import OperationalError


def publish(app, worker, event, **fields):
    """Publish an event in the name of a worker."""
    with app.events.default_dispatcher(hostname=worker) as dispatcher:
        # Otherwise it would send this program's id. The worker's is in its `stats`, which would be most of the traffic.
        dispatcher.pid = None
        dispatcher.send(event, **fields, **SOFTWARE_INFO)


def announce(app, seconds, timeout, seen):
    """Ask all workers once, and publish who is alive.

    :param seen: the time of the last round that each worker answered, by worker. This function updates it, and removes
        a worker that has not answered for twice `seconds`.
    """
    now = time.monotonic()
    # `safe` requests the short text of each task's arguments, not the arguments themselves.
    active = app.control.inspect(timeout=timeout).active(safe=True) or {}
    for worker, tasks in active.items():
        publish(app, worker, "worker-heartbeat", freq=seconds, active=len(tasks))
        if worker not in seen:
            print(f"{worker} answers.", flush=True)
        seen[worker] = now
    for worker in [worker for worker, then in seen.items() if now - then >= 2 * seconds]:
        publish(app, worker, "worker-offline")
        print(f"{worker} has not answered for {now - seen.pop(worker):.0f} s.", flush=True)


def wait(app, seconds):
    """Wait for the next round, or until a monitor has made workers send heartbeats."""
    end = time.monotonic() + seconds
    asked_for = []

    def heard(event, _):
        # A heartbeat that a worker sends unasked says how many tasks are active.
        if "active" not in event:
            asked_for.append(event)

    with app.pool.acquire(block=True) as connection:
        # The queue exists only during this wait, so this program's own events do not come back.
        queue = app.events.Receiver(connection, routing_key="worker.heartbeat").queue
        with connection.Consumer([queue], callbacks=[heard], no_ack=True), contextlib.suppress(socket.timeout):
            while not asked_for and (left := end - time.monotonic()) > 0:
                connection.drain_events(timeout=left)


def main():
    """Announce forever."""
    module, seconds, timeout = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    app = find_app(module)
    # These publishes need no confirm, and would wait for one without a limit.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "confirm_publish": False}
    template = app.connection_for_write()
    errors = (*template.connection_errors, *template.channel_errors, OperationalError)
    seen = {}
    while True:
        began = time.monotonic()
        try:
            announce(app, seconds, timeout, seen)
            wait(app, began + seconds - time.monotonic())
        except errors as error:
            print(f"The broker is out of reach, trying again: {error!r}", flush=True)
            time.sleep(timeout)


if __name__ == "__main__":
    main()
