"""Send one real task to each queue and wait until a worker has done it. Works with any Celery project.

Usage: smoke.py MODULE SECONDS QUEUE [QUEUE ...]

The task is Celery's own `celery.accumulate`, which every application has and which only returns its arguments. No result
backend is needed: the task carries a callback, which the worker publishes when the task has succeeded, to a queue of
this script. So one answer proves the way through HAProxy, the broker and the worker, and back.

Exits with 0 when every queue has answered, with 1 and one sentence for each queue that has not within SECONDS.
"""

import sys
import time
import uuid
from queue import Empty

from celery.app.utils import find_app


def main() -> int:
    module, seconds, queues = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    app = find_app(module)
    accumulate = app.tasks["celery.accumulate"]
    waiting = set(queues)
    with app.connection_for_write() as connection:
        reply_queue = f"warren-smoke.{uuid.uuid4()}"
        replies = connection.SimpleQueue(
            reply_queue,
            no_ack=True,
            queue_opts={"durable": False, "auto_delete": True, "expires": seconds + 60},
            exchange_opts={"name": "", "type": "direct"},
        )
        sent_at = time.monotonic()
        for queue in queues:
            # The callback goes to the default exchange, which delivers to the queue that the routing key names.
            receipt = accumulate.s().set(exchange="", routing_key=reply_queue)
            accumulate.apply_async((queue,), queue=queue, link=receipt, expires=seconds)
        while waiting and (left := sent_at + seconds - time.monotonic()) > 0:
            try:
                message = replies.get(timeout=left)
            except Empty:
                break
            # The callback's arguments are what the task returned: the tuple of its own arguments.
            (queue,) = message.payload[0][0]
            waiting.discard(queue)
            print(f"{queue}: done after {time.monotonic() - sent_at:.2f} s")
        replies.close()
    for queue in sorted(waiting):
        print(f"{queue}: no worker did a task within {seconds:.0f} s; look at `supervisorctl status` on the workers", file=sys.stderr)
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
