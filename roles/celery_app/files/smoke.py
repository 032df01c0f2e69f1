"""Send one real task to each queue and wait until a worker has done it. Works with any Celery project.

Usage: smoke.py MODULE SECONDS QUEUE [QUEUE ...]

The task is Celery's own `celery.accumulate`, which every application has and which only returns its arguments. It needs
no result backend: the task has a callback, which the worker publishes to a queue of this script when the task has
succeeded. So an answer proves that the path through HAProxy, the broker and the worker works in both directions.

Exits with 0 when every queue has answered, with 1 and one sentence for each queue that has not within SECONDS.
"""

import sys
import time
import uuid
from queue import Empty

from celery.app.utils import find_app
from kombu import Exchange, Queue


def main() -> int:
    module, seconds, queues = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    app = find_app(module)
    # As every program of the project does: a result backend may need something from them, such as Django's models.
    app.loader.import_default_modules()
    accumulate = app.tasks["celery.accumulate"]
    waiting = set(queues)
    # A connection for reading: the client behind the one for writing may be unable to consume.
    with app.connection_for_read() as connection:
        name = f"warren-smoke.{uuid.uuid4()}"
        # Both are deleted when this connection ends, or by the broker if they are never used.
        exchange = Exchange(name, "direct", durable=False, auto_delete=True)
        receipts = connection.SimpleQueue(
            Queue(name, exchange, routing_key=name, durable=False, auto_delete=True, expires=seconds + 60), no_ack=True
        )
        sent_at = time.monotonic()
        for queue in queues:
            receipt = accumulate.s().set(exchange=name, routing_key=name)
            accumulate.apply_async((queue,), queue=queue, link=receipt, expires=seconds)
        while waiting and (left := sent_at + seconds - time.monotonic()) > 0:
            try:
                message = receipts.get(timeout=left)
            except Empty:
                break
            # The callback gets what the task returned: the tuple of the task's own arguments.
            (queue,) = message.payload[0][0]
            waiting.discard(queue)
            print(f"{queue}: done after {time.monotonic() - sent_at:.2f} s")
        receipts.close()
    for queue in sorted(waiting):
        print(
            f"{queue}: no worker did a task within {seconds:.0f} s. On its workers, `supervisorctl status` shows a "
            "program that does not run, and `journalctl -u celery-watchdog` one that did not answer and was restarted; "
            "if there is one, it does its tasks now: deploy again.",
            file=sys.stderr,
        )
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
