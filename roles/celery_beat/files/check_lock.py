"""Print whether a scheduler holds RedBeat's lock, and for how long. The exit code is 1 if none does.

Usage: check_lock.py MODULE      (with the scheduler's settings)
"""

import sys

from celery.app.utils import find_app
from redbeat.schedulers import ensure_conf, get_redis

app = find_app(sys.argv[1])
key = ensure_conf(app).lock_key
milliseconds = get_redis(app).pttl(key)
if milliseconds < 0:
    sys.exit(f"No scheduler holds the lock {key}.")
print(f"The lock {key} holds for {milliseconds} ms.")
