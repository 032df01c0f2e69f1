"""Try in Redis what the users of the project's programs may not do, with their own logins from the settings.

Prints a JSON object: for each purpose, what Redis answered to each attempt. Runs with the settings of a program.
"""

import importlib
import json
import os
import re
from pathlib import Path

from redis import Redis, RedisError

KEYS = {"results": "celery-task-meta-test-1", "locks": "qo_test-1", "schedule": "redbeat:test-1"}
NOBODYS = [
    "FLUSHALL",
    "CONFIG GET *",
    "ACL LIST",
    "KEYS *",
    "INFO",
    "CLIENT LIST",
    "EVAL return 0",
    "MONITOR",
    "SHUTDOWN",
    "GET test-1",
    "SUBSCRIBE test-1",
]


def urls():
    """The URL of each purpose that this host has."""
    settings = importlib.import_module(os.environ["CELERY_CONFIG_MODULE"])
    found = {"results": settings.result_backend, "locks": settings.ONCE["settings"]["url"]}
    schedules = sorted(Path("/etc/celery").glob("*/settings/*/beatconfig.py"), key=lambda path: path.stat().st_mtime)
    if schedules:
        found["schedule"] = re.search(r"_Hidden\('(.+)'\)", schedules[-1].read_text())[1]
    return found


def answer(client, words):
    try:
        return str(client.execute_command(*words.split()))
    except RedisError as error:
        return f"{type(error).__name__}: {error}"


said = {}
for purpose, url in urls().items():
    client = Redis.from_url(url)
    # It may do what it is for.
    client.set(KEYS[purpose], "1", ex=60)
    others = [f"{word} {key}" for word in ("GET", "DEL") for name, key in KEYS.items() if name != purpose]
    said[purpose] = {words: answer(client, words) for words in NOBODYS + others}
    client.delete(KEYS[purpose])
print(json.dumps(said))
