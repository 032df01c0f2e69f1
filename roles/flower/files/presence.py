"""Tell monitors which workers are alive, where workers send no heartbeats themselves. Works with any Celery project.

Usage: presence.py MODULE SECONDS TIMEOUT

Every SECONDS all workers are asked once what they are doing. For each that answers, a `worker-heartbeat` event is
published in its name, which is what Flower and other monitors take for alive. An event holds for twice SECONDS, so a
worker that stops answering is shown offline within that time, and one lost answer is forgiven. A round ends when no
answer has come for TIMEOUT seconds.

An outage of the broker is a line in the log, and the next round tries again.
"""

import sys
import time

from celery.app.utils import find_app
from celery.worker.state import SOFTWARE_INFO
from kombu.exceptions import OperationalError


def announce(app, seconds, timeout):
    """Ask all workers, and publish a heartbeat for each that answered; returns their names."""
    # `safe` asks for the short text of each task's arguments, not for the arguments.
    active = app.control.inspect(timeout=timeout).active(safe=True) or {}
    for name, tasks in active.items():
        with app.events.default_dispatcher(hostname=name) as dispatcher:
            # It would send this program's own. The worker's is in its `stats`, which would be most of the traffic.
            dispatcher.pid = None
            dispatcher.send("worker-heartbeat", freq=seconds, active=len(tasks), **SOFTWARE_INFO)
    return set(active)


def main():
    """Announce for ever; log who came, who went, and what went wrong."""
    module, seconds, timeout = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    app = find_app(module)
    # Nothing here is worth a confirm, for which these publishes would wait without a limit.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "confirm_publish": False}
    template = app.connection_for_write()
    errors = (*template.connection_errors, *template.channel_errors, OperationalError)
    known = set()
    while True:
        began = time.monotonic()
        try:
            found = announce(app, seconds, timeout)
        except errors as error:
            print(f"Could not ask the workers: {error!r}. Trying again in {seconds:.0f} s.", flush=True)
        else:
            for name in sorted(found ^ known):
                print(f"{name} {'answers' if name in found else 'is silent'}", flush=True)
            known = found
        time.sleep(max(0.0, began + seconds - time.monotonic()))


if __name__ == "__main__":
    main()
