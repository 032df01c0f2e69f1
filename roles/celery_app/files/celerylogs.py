"""Logs of workers and of the scheduler as JSON: each line is an object, also with a traceback in it.

The settings call `use_json` where that is asked for. Celery's own signals then give its handlers the formatter below.
A project that connects `setup_logging` sets up its logs by itself: Celery sends none of the other signals then. What a
project's own receivers have given another formatter keeps it.

    timestamp, level, logger, process, message -- in each line; the time is in ISO 8601, UTC
    worker -- the node's name, in workers
    task, id, queue -- name, id and routing key, where a line is about a task
    state, runtime_seconds -- what became of the task, and how long it ran
    exception -- with its type and traceback; of a task that is retried, why

What a project gives a line with `extra` is there, too. Arguments are not: Celery gives them to its lines as `data`.
"""

import contextlib
import fcntl
import logging
import os
import sys
import time

from celery import signals
from celery._state import get_current_task
from celery.app import trace
from celery.apps import worker
from celery.utils.log import ColorFormatter, get_multiprocessing_logger
from celeryparking import handled
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# As Celery's request has it.
REVOKED = "Discarding revoked task"
STATES = {
    trace.LOG_RECEIVED: "RECEIVED",
    trace.LOG_SUCCESS: "SUCCESS",
    trace.LOG_RETRY: "RETRY",
    trace.LOG_FAILURE: "FAILURE",
    trace.LOG_REJECTED: "REJECTED",
    trace.LOG_IGNORED: "IGNORED",
}
FIELDS = {"levelname": "level", "name": "logger", "processName": "process", "message": "message"}


class Formatter(JsonFormatter):
    """Makes a line of a record."""

    node = None

    def __init__(self):
        super().__init__(
            list(FIELDS),
            rename_fields=FIELDS | {"exc_info": "exception"},
            reserved_attrs=[*RESERVED_ATTRS, "data"],
            timestamp=True,
        )

    def add_fields(self, log_data, record, message_dict):
        """Add what is known of the task."""
        super().add_fields(log_data, record, message_dict)
        said = {"worker": self.node} | task_in(record)
        log_data |= {name: value for name, value in said.items() if value is not None}


class Handler(logging.StreamHandler):
    """Writes each line as a whole, with a lock that ends with its process.

    Four processes that wrote lines of 20 KB into one full pipe mixed 166 of 800.
    """

    def emit(self, record):
        """Write it."""
        fcntl.lockf(self.stream, fcntl.LOCK_EX)
        try:
            super().emit(record)
        finally:
            fcntl.lockf(self.stream, fcntl.LOCK_UN)


def task_in(record):
    """Return the fields of the task that a record is about, if any."""
    task, began = get_current_task(), None
    about = handled.get() or {}
    if task and task.request.id:
        queue = (task.request.delivery_info or {}).get("routing_key")
        about = {"task": task.name, "id": task.request.id, "queue": queue}
        began = vars(task.request).get("warren_began")
    state = "REVOKED" if str(record.msg).startswith(REVOKED) else STATES.get(record.msg)
    if state is None:
        return about
    said = record.args if isinstance(record.args, dict) else {}
    runtime = said.get("runtime", began and time.monotonic() - began)
    why = said.get("exc") if state == "RETRY" else None
    return about | {"state": state, "runtime_seconds": runtime} | ({"exception": why} if why else {})


def use_json():
    """Have Celery, where it sets up logs, write JSON."""
    formatter, handler = Formatter(), Handler(sys.__stderr__)
    handler.setFormatter(formatter)

    def own(logger, logfile=None, **_):
        for log in (logger, get_multiprocessing_logger()):
            for its in [its for its in log.handlers if isinstance(its.formatter, ColorFormatter)]:
                if logfile is None:
                    log.handlers[log.handlers.index(its)] = handler
                else:
                    its.setFormatter(formatter)

    def begin(sender, **_):
        formatter.node = sender
        # Written in a signal's handler, where nothing may wait for a lock.
        worker.safe_say = say

    def say(message, *_):
        record = logging.LogRecord(worker.__name__, logging.INFO, "", 0, message.strip(), (), None)
        with contextlib.suppress(OSError):
            write(sys.__stderr__.fileno(), f"{formatter.format(record)}\n".encode())

    # Not the one that eventlet has put in its place.
    write = getattr(worker, "_original_os_write", os.write)
    for signal, receiver in (
        (signals.after_setup_logger, own),
        (signals.after_setup_task_logger, own),
        (signals.celeryd_init, begin),
        (signals.task_prerun, time_it),
    ):
        signal.connect(receiver, weak=False)


def time_it(task, **_):
    """Remember when a task began: of one that fails, Celery does not say how long it ran."""
    task.request.warren_began = time.monotonic()
