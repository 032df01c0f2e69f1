"""The producer: publishes numbered tasks at a steady rate and notes what became of each."""

import itertools
import time
from dataclasses import dataclass

from celery.utils import uuid

MAX_CATCH_UP_SECONDS = 1.0
MAX_ERROR_TEXT = 500
STOP_CHECK_SECONDS = 0.2


@dataclass
class Totals:
    """How many publishes the broker accepted, and how many reported an error."""

    accepted: int = 0
    refused: int = 0


class Pacer:
    """Schedules publishes at a steady rate against the clock, so that delays do not add up.

    After a stall the publishes missed are made up for as fast as possible, but at most one
    second's worth of them (MAX_CATCH_UP_SECONDS); the others are dropped from the schedule.

    :param rate: publishes a second; 0 means as fast as possible.
    :param clock: returns the time in seconds, monotonic.
    """

    def __init__(self, rate, clock=time.monotonic):
        self._interval = 1.0 / rate if rate else 0.0
        self._clock = clock
        self._due = None

    def delay(self):
        """Take the next place in the schedule and return how many seconds away it is, >= 0."""
        now = self._clock()
        due = now if self._due is None else max(self._due, now - MAX_CATCH_UP_SECONDS)
        self._due = due + self._interval
        return max(0.0, due - now)


def submit(
    run,
    publish,
    write,
    *,
    count=None,
    seconds=None,
    rate=0.0,
    stopping=lambda: False,
    progress=lambda totals: None,
    clock=time.monotonic,
    sleep=time.sleep,
):
    """Publish tasks 1, 2, 3, ... and write a record of each.

    An exception from `publish` means "unknown": the broker may have the task or not. It is
    recorded as refused and the run goes on.

    :param run: run id, copied into the records.
    :param publish: called as publish(number, task_id); returns once the broker accepted the task.
    :param write: called with each record, a dict.
    :param count: stop after so many tasks; None for no such bound.
    :param seconds: stop after so many seconds; None for no such bound.
    :param rate: publishes a second, see Pacer; 0 means as fast as possible.
    :param stopping: returns whether to stop early; asked before each task and while waiting.
    :param progress: called with the Totals so far after each task.
    :param clock: returns the time in seconds, monotonic.
    :param sleep: waits for so many seconds.
    :returns: Totals.
    """
    totals = Totals()
    pacer = Pacer(rate, clock)
    deadline = float("inf") if seconds is None else clock() + seconds
    numbers = itertools.count(1) if count is None else range(1, count + 1)
    for number in numbers:
        wake = min(clock() + pacer.delay(), deadline)
        while not stopping() and (left := wake - clock()) > 0:
            sleep(min(left, STOP_CHECK_SECONDS))
        if stopping() or clock() >= deadline:
            break
        record = {"run": run, "number": number, "task_id": uuid(), "submitted": time.time()}
        began = clock()
        try:
            publish(number, record["task_id"])
        except (Exception, KeyboardInterrupt) as error:
            # KeyboardInterrupt is an impatient second signal: stopping() is true already.
            totals.refused += 1
            outcome = {
                "event": "refused",
                "error": type(error).__name__,
                "message": str(error)[:MAX_ERROR_TEXT],
            }
        else:
            totals.accepted += 1
            outcome = {"event": "accepted"}
        write(record | outcome | {"time": time.time(), "waited": clock() - began})
        progress(totals)
    return totals
