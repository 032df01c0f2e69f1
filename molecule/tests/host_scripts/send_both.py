"""Send tasks of two names in turn, and note each that the broker accepts, for a run of the ledger, until it is stopped.

Usage: python - RUN FIRST SECOND      (with the release's interpreter and settings)

A task takes no time, and every 51st 5 s, of either name.
"""

import itertools
import sys
import time

from celery.utils import uuid
from warren_app.celery import app
from warren_app.ledger import records

run, *names = sys.argv[1:]
for number, name in zip(itertools.count(1), itertools.cycle(names)):
    record = {"event": "accepted", "run": run, "number": number, "task_id": uuid(), "name": name}
    app.send_task(name, args=(run, number, 0 if number % 51 else 5), task_id=record["task_id"])
    records.append("accepted", run, record | {"time": time.time()})
    time.sleep(0.1)
