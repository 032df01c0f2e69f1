"""The task that workers do to be counted."""

import os
import socket
import time

from warren_app.celery import app
from warren_app.ledger import records


# The ledger must not depend on a result backend, so the result is never stored.
@app.task(bind=True, name="warren_app.ledger.record", ignore_result=True)
def record(self, run, number, work_seconds=0.0, payload=""):
    """Note in this host's done file that task `number` of run `run` was done.

    :param run: run id.
    :param number: the producer's number of the task, an int.
    :param work_seconds: seconds to sleep first, so that the task can be killed in the middle.
    :param payload: filler that makes the message larger; ignored.
    :raises ValueError: when the run id is invalid.
    :raises OSError: when the record cannot be written; then the task was not done.
    """
    records.validate_run(run)
    time.sleep(work_seconds)
    delivery = self.request.delivery_info or {}
    # Nothing may come after this write: whatever kills the task before it leaves no record.
    records.append(
        "done",
        run,
        {
            "event": "done",
            "run": run,
            "number": number,
            "task_id": self.request.id,
            "time": time.time(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queue": delivery.get("routing_key"),
            "redelivered": bool(delivery.get("redelivered")),
        },
    )
