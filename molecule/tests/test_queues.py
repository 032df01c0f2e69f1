"""Slow tasks hold up no fast ones, and urgent tasks overtake others."""

import uuid

import pytest

pytestmark = pytest.mark.cluster

# Sends the task to its own route, and tells when; the ledger's record of it is written by the worker.
SUBMIT = """
import sys
from celery.app.utils import find_app

app = find_app(sys.argv[1])
app.loader.import_default_modules()
app.tasks["warren_app.ledger.record"].apply_async((sys.argv[2], 0), queue=sys.argv[3], priority=int(sys.argv[4]))
"""


def test_200_slow_tasks_delay_no_fast_one(publisher, queues, ledger):
    run = f"slow-{uuid.uuid4()}"
    submit = ["ledger", "submit", "--run", run, "--count", "200", "--queue", "slow", "--work-seconds", "0.5"]
    publisher.app_output(*submit, seconds=100)
    assert queues()["slow"]["messages"] > 20, "the slow tasks were done before a fast one could be sent"
    smoke = f"/opt/celery/{publisher.expect('celery_app_name')}/smoke.py"
    answer = publisher.app_output("python", smoke, publisher.expect("celery_app_module"), "20", "default")
    # default: done after 0.12 s
    assert float(answer.split()[-2]) < 2, answer
    assert queues()["slow"]["messages"] > 0, "the slow tasks were done before the fast one was"
    assert len(ledger(run, 200)) == 200


def test_an_urgent_task_overtakes_waiting_ones(publisher, ledger):
    bulk, urgent = f"bulk-{uuid.uuid4()}", f"urgent-{uuid.uuid4()}"
    submit = ["ledger", "submit", "--run", bulk, "--count", "60", "--queue", "default", "--work-seconds", "0.5"]
    publisher.app_output(*submit, seconds=100)
    publisher.app_output("python", "-c", SUBMIT, publisher.expect("celery_app_module"), urgent, "default", "9")
    (record,) = ledger(urgent, 1)
    others = ledger(bulk, 60)
    assert len(others) == 60
    later = [other for other in others if other["time"] > record["time"]]
    assert len(later) > 20, "the urgent task waited for its turn"
