"""Print whether a scheduler holds RedBeat's lock, and for how long. The exit code is 1 if none does.

Usage: check_lock.py      (with the scheduler's settings)

The project is not imported: that may take long, and the lock's name and place are settings.
"""

import os
import sys

from celery import Celery
from redbeat.schedulers import ensure_conf, get_redis

app = Celery(config_source=os.environ["CELERY_CONFIG_MODULE"])
key = ensure_conf(app).lock_key
milliseconds = get_redis(app).pttl(key)
if milliseconds < 0:
    sys.exit(f"No scheduler holds the lock {key}.")
print(f"The lock {key} holds for {milliseconds} ms.")
