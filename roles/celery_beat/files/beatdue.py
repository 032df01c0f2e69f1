"""Has the scheduler say when it will look at its schedule again, in the time of a file that Prometheus reads.

The file's time lies behind when no scheduler works: one that hangs, cannot send, has no lock, or does not run.
"""

import contextlib
import os
import time

from celery.signals import beat_init

FILE = "/var/lib/celery/metrics/scheduler.prom"


@beat_init.connect
def watch(sender, **_):
    """Wrap what a scheduler of any kind does: a look at the schedule, and a task that is sent."""
    scheduler = sender.scheduler
    look, send = scheduler.tick, scheduler.apply_async
    failed = False

    def apply_async(*arguments, **options):
        nonlocal failed
        failed = True
        result = send(*arguments, **options)
        failed = False
        return result

    def tick(*arguments, **options):
        seconds = look(*arguments, **options)
        # After a failure the next task that is sent proves that it can send again. It works without the file, too.
        if not failed:
            with contextlib.suppress(OSError):
                due = time.time() + seconds
                os.utime(FILE, (due, due))
        return seconds

    scheduler.tick, scheduler.apply_async = tick, apply_async
