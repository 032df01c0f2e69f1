"""How fast a process publishes through librabbitmq and through py-amqp, and how much of its CPU a task costs.

Usage: /opt/celery/NAME/run python - MODULE < publishers.py

One batch of each in turn, so that what else the machine does meets all alike. A batch ends when the broker has
answered a request that follows the last task on the same channel. The tasks go to a queue of this script's own, which
nobody consumes, which keeps the last 1,000 and which ends with it.
"""

import contextlib
import importlib.util
import statistics
import sys
import time
import uuid

from celery.app.utils import find_app
from kombu import Exchange, Queue

ROUNDS = 9
# What a batch publishes; a confirm is a round trip for each task.
TASKS = {"librabbitmq": 1500, "py-amqp": 1500, "py-amqp, confirms": 300}
ARGUMENT = "x" * 1000


class Publisher:
    """A connection of one kind, with a queue that is bound to it."""

    def __init__(self, app, connection, queue):
        self._task = app.tasks["celery.accumulate"]
        self._queue = queue(connection.default_channel)
        self._producer = app.amqp.Producer(connection, auto_declare=False)

    def batch(self, tasks):
        """Publish so many tasks; returns seconds and CPU seconds a task."""
        name = self._queue.name
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(tasks):
            self._task.apply_async((ARGUMENT,), producer=self._producer, exchange=name, routing_key=name, retry=False)
        self._queue.queue_declare(passive=True)
        return (time.perf_counter() - began) / tasks, (time.process_time() - cpu) / tasks


def no_librabbitmq(app):
    """Return why librabbitmq cannot be measured; empty if it can."""
    if importlib.util.find_spec("librabbitmq") is None:
        return "librabbitmq is not in the release: cluster_c_publisher on any host brings it"
    return "librabbitmq knows no TLS, which this cluster uses, and is left out" if app.conf.broker_use_ssl else ""


def main():
    app = find_app(sys.argv[1])
    url = app.conf.broker_read_url[0] if isinstance(app.conf.broker_read_url, list) else app.conf.broker_read_url
    kinds = {"py-amqp": (url, False), "py-amqp, confirms": (url, True)}
    if reason := no_librabbitmq(app):
        print(reason)
    else:
        kinds = {"librabbitmq": (url.replace("pyamqp:", "librabbitmq:"), False)} | kinds
    name = f"warren-smoke.{uuid.uuid4()}"
    exchange = Exchange(name, "direct", durable=False, auto_delete=True)
    queue = Queue(name, exchange, routing_key=name, durable=False, auto_delete=True, expires=300, max_length=1000)
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(app.connection_for_read())
        queue(owner.default_channel).declare()
        publishers = {}
        for kind, (address, confirm) in kinds.items():
            connection = app.connection_for_write(address, transport_options={"confirm_publish": confirm})
            publishers[kind] = Publisher(app, stack.enter_context(connection), queue)
            publishers[kind].batch(100)
        rounds = [{kind: publisher.batch(TASKS[kind]) for kind, publisher in publishers.items()} for _ in range(ROUNDS)]
        queue(owner.default_channel).delete()

    def median(values):
        return statistics.median(list(values))

    print(
        f"median of {ROUNDS} rounds, one batch of each in turn, against py-amqp of the same round; 1,000-byte argument"
    )
    print(f"{'':18}  {'tasks a second':>14}  {'ratio':>19}  {'CPU ms a task':>13}  {'ratio':>5}")
    for kind in publishers:
        ratios = [of["py-amqp"][0] / of[kind][0] for of in rounds]
        cpu_ratio = median(of[kind][1] / of["py-amqp"][1] for of in rounds)
        rate, cpu = median(1 / of[kind][0] for of in rounds), median(1000 * of[kind][1] for of in rounds)
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{kind:18}  {rate:14.0f}  {spread:>19}  {cpu:13.3f}  {cpu_ratio:5.2f}")


main()
