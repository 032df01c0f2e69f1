"""The tasks that workers do to be counted."""

import os
import socket
import time

from celery import chord

from warren_app.celery import app
from warren_app.ledger import records
from warren_app.once import OnceTask

RETRY_SECONDS = 1
# In a mixed load, a task with a countdown is due after so many seconds at most.
LONGEST_COUNTDOWN_SECONDS = 20


# The ledger must not depend on a result backend, so the result is never stored.
@app.task(bind=True, name="warren_app.ledger.record", ignore_result=True)
def record(self, run, number, work_seconds=0.0, payload="", failures=0):
    """Note in this host's done file that task `number` of run `run` was done.

    :param run: run id.
    :param number: the producer's number of the task, an int.
    :param work_seconds: seconds to sleep first, so that the task can be killed in the middle.
    :param payload: filler that makes the message larger; ignored.
    :param failures: how many tries fail, and are followed by another one a second later.
    :raises ValueError: when the run id is invalid.
    :raises OSError: when the record cannot be written; then the task was not done.
    """
    if self.request.retries < failures:
        raise self.retry(countdown=RETRY_SECONDS, max_retries=None)
    _note(self, run, number, work_seconds)


@app.task(
    base=OnceTask,
    bind=True,
    name="warren_app.ledger.record_once",
    ignore_result=True,
    once={"keys": ["run", "number"], "timeout": 3600},
)
def record_once(self, run, number, work_seconds=0.0, payload=""):
    """The same as `record`, and refused while this number is queued or running."""
    _note(self, run, number, work_seconds)


@app.task(name="warren_app.ledger.part", ignore_result=False)
def part():
    """Do nothing: the tasks of a chord, whose last one lets `record` begin."""


def publish_in_turn(run, number, task_id, work_seconds=0.0, payload="", **options):
    """Publish task `number` of a mixed load: each kind of task in turn.

    :param options: those of apply_async, such as `queue`.
    :raises Exception: as apply_async does.
    """
    keywords = {"work_seconds": work_seconds, "payload": payload}
    sent = {"args": (run, number), "kwargs": keywords}
    kind = ("plain", "countdown", "retry", "chord", "once")[number % 5]
    if kind == "countdown":
        options["countdown"] = 1 + number % LONGEST_COUNTDOWN_SECONDS
    elif kind == "retry":
        keywords["failures"] = 1
    if kind == "chord":
        body = record.signature(**sent, immutable=True, options=options | {"task_id": task_id})
        chord([part.signature(options=options), part.signature(options=options)])(body)
    else:
        task = record_once if kind == "once" else record
        task.apply_async(**sent, task_id=task_id, **options)


def _note(self, run, number, work_seconds):
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
