"""Tell monitors which workers are alive, where workers send no heartbeats themselves. Works with any Celery project.

Usage: presence.py MODULE SECONDS TIMEOUT

Every SECONDS all workers are asked once what they are doing. For each that answers, a `worker-heartbeat` event is
published in its name, which is what Flower and other monitors take for alive. An event holds for twice SECONDS, so a
worker that stops answering is shown offline within that time, and one lost answer is forgiven. After the second a
`worker-offline` event says so, for metrics that would not notice. A round ends when no answer has come for TIMEOUT
seconds.

An outage of the broker is a line in the log, and the next round tries again.
"""

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


def announce(app, seconds, timeout, missed):
    """Ask all workers once, and publish who is alive.

    :param missed: worker to the number of rounds in which it was silent since its last answer. It is kept here, and
        forgets a worker after the second.
    """
    # `safe` asks for the short text of each task's arguments, not for the arguments.
    active = app.control.inspect(timeout=timeout).active(safe=True) or {}
    for worker, tasks in active.items():
        publish(app, worker, "worker-heartbeat", freq=seconds, active=len(tasks))
        if worker not in missed:
            print(f"{worker} answers.", flush=True)
        missed[worker] = 0
    for worker in missed.keys() - active.keys():
        missed[worker] += 1
        if missed[worker] == 2:
            publish(app, worker, "worker-offline")
            print(f"{worker} did not answer twice.", flush=True)
            del missed[worker]


def main():
    """Announce for ever."""
    module, seconds, timeout = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    app = find_app(module)
    # Nothing here is worth a confirm, for which these publishes would wait without a limit.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "confirm_publish": False}
    template = app.connection_for_write()
    errors = (*template.connection_errors, *template.channel_errors, OperationalError)
    missed = {}
    while True:
        began = time.monotonic()
        try:
            announce(app, seconds, timeout, missed)
        except errors as error:
            print(f"Could not ask the workers, and will try again: {error!r}", flush=True)
        time.sleep(max(0.0, began + seconds - time.monotonic()))


if __name__ == "__main__":
    main()
