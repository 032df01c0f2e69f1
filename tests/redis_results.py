"""A program that uses a result backend as projects do: python redis_results.py URL TRANSPORT_OPTIONS_AS_JSON.

A process of its own: what celery keeps of results would ask their Redis in other tests, when it has gone.
"""

import json
import sys

import pytest
from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker

url, options = sys.argv[1:]
app = Celery("shop", broker="memory://", backend=url)
app.conf.update(
    result_expires=60, result_backend_thread_safe=True, result_backend_transport_options=json.loads(options)
)


@app.task
def add(one, other):
    return one + other


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise ValueError("no")


with start_worker(app, perform_ping_check=False, pool="solo"):
    one = add.delay(1, 2)
    assert one.get(timeout=20) == 3
    one.forget()
    several = group([add.s(1, 1), add.s(2, 2)]).apply_async()
    several.save()
    assert several.get(timeout=20) == [2, 4]
    assert [found.id for found in app.GroupResult.restore(several.id)] == [found.id for found in several]
    several.delete()
    assert chord([add.s(1, 1), add.s(2, 2)])(total.s()).get(timeout=20) == 6
    assert chord([group([add.s(1, 1), add.s(2, 2)]), add.s(3, 3)])(total.s()).get(timeout=20) == 12
    with pytest.raises(Exception, match="no"):
        chord([add.s(1, 1), fail.s()])(total.s()).get(timeout=20)
    app.backend.incr(app.backend.get_key_for_group("a", ".t"))
    app.backend.add_to_chord("a", None)
