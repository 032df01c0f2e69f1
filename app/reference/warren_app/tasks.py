"""Example tasks: a quick one, an urgent one, a slow one, and one that fails and retries.

All of them may be run twice with the same arguments without harm. A cluster that promises to lose
no task needs that: after a crash the broker delivers the unfinished tasks again.
"""

import random
import time

from celery.utils.log import get_task_logger

from warren_app.celery import app

logger = get_task_logger(__name__)

MAX_ESTIMATE_SECONDS = 3600.0
MAX_BACKOFF_SECONDS = 60.0


class SourceUnavailableError(Exception):
    """The simulated source did not answer."""


# Somebody waits for the number, so it is kept whatever the cluster's default is.
@app.task(name="warren_app.tasks.count_words", ignore_result=False)
def count_words(text):
    """Return the number of whitespace-separated words in `text` (a str), as an int."""
    return len(text.split())


@app.task(name="warren_app.tasks.alert")
def alert(message):
    """Log `message` (a str). Operators give it a priority, so that it overtakes other tasks."""
    logger.warning("%s", message)


@app.task(name="warren_app.tasks.estimate_pi")
def estimate_pi(seconds=10.0):
    """Estimate pi by random sampling for a given time.

    Nothing is kept between runs, so a worker killed in the middle costs only the time spent: the
    task starts over on another worker.

    :param seconds: how long to work, more than 0 and at most 3600.
    :returns: a dict, `pi` (float) and `samples` (int, how many points it rests on).
    :raises ValueError: when `seconds` is out of bounds.
    """
    if not 0 < seconds <= MAX_ESTIMATE_SECONDS:
        raise ValueError(
            f"seconds must be more than 0 and at most {MAX_ESTIMATE_SECONDS:g}, not {seconds}"
        )
    batch = 10_000
    inside = samples = 0
    end = time.monotonic() + seconds
    while True:
        inside += sum(random.random() ** 2 + random.random() ** 2 <= 1.0 for _ in range(batch))
        samples += batch
        if time.monotonic() >= end:
            return {"pi": 4.0 * inside / samples, "samples": samples}


@app.task(bind=True, name="warren_app.tasks.fetch_unreliable")
def fetch_unreliable(self, source, failure_probability=0.5, max_tries=5, backoff=1.0):
    """Fetch from a simulated source that often does not answer; retry, then give up.

    :param source: name of the source, a str.
    :param failure_probability: chance of failure of each try, 0.0 (never) to 1.0 (always).
    :param max_tries: how many tries in all, at least 1.
    :param backoff: seconds before the second try; doubled for each further one, up to 60.
    :returns: a dict, `source` and `tries` (int, how many it took).
    :raises ValueError: when `max_tries` is less than 1.
    :raises SourceUnavailableError: when the last try failed as well.
    """
    if max_tries < 1:
        raise ValueError(f"max_tries must be at least 1, not {max_tries}")
    tries = self.request.retries + 1
    if random.random() < failure_probability:
        raise self.retry(
            exc=SourceUnavailableError(f"{source} did not answer in {tries} tries"),
            countdown=min(backoff * 2**self.request.retries, MAX_BACKOFF_SECONDS),
            max_retries=max_tries - 1,
        )
    return {"source": source, "tries": tries}
