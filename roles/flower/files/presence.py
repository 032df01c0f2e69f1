"""Tell monitors which workers are alive, where workers send no heartbeats themselves. Works with any Celery project.

Usage: presence.py MODULE SECONDS TIMEOUT

Every SECONDS all workers are asked once what they are doing. For each that answers, a `worker-heartbeat` event is
published in its name, which is what Flower and other monitors take for alive. An event holds for twice SECONDS, so a
worker that stops answering is shown offline within that time, and one lost answer is forgiven. Then a `worker-offline`
event says so, for metrics that would not notice. A round ends when no answer has come for TIMEOUT seconds.

A monitor that connects makes all workers send one heartbeat, which holds for 10 s only; the next round then comes at
once, or everybody would seem offline until it does. An outage of the broker is a line in the log, and another try.
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
        # It would send this program's own. The worker's is in its `stats`, which would be most of the traffic.
        dispatcher.pid = None
        dispatcher.send(event, **fields, **SOFTWARE_INFO)


def announce(app, seconds, timeout, seen):
    """Ask all workers once, and publish who is alive.

    :param seen: worker to the time of the last round that it answered. It is kept here, and forgets a worker that has
        been silent for twice `seconds`.
    """
    now = time.monotonic()
    # `safe` asks for the short text of each task's arguments, not for the arguments.
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
        # A heartbeat that a worker sends of its own accord says how many tasks are active.
        if "active" not in event:
            asked_for.append(event)

    with app.pool.acquire(block=True) as connection:
        # It lives only for this wait, so what this program publishes does not come back.
        queue = app.events.Receiver(connection, routing_key="worker.heartbeat").queue
        with connection.Consumer([queue], callbacks=[heard], no_ack=True), contextlib.suppress(socket.timeout):
            while not asked_for and (left := end - time.monotonic()) > 0:
                connection.drain_events(timeout=left)


def main():
    """Announce for ever."""
    module, seconds, timeout = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    app = find_app(module)
    # Nothing here is worth a confirm, for which these publishes would wait without a limit.
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
