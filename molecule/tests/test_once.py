"""Once-only tasks of the reference app, submitted from a publisher host, with their locks in the cluster's Redis."""

import json
import uuid

import pytest

pytestmark = pytest.mark.cluster

# Submits in one process on the publisher's host and prints one JSON object. The task works long enough to be seen.
SUBMIT = """
import json, sys, time
from celery_once import AlreadyQueued
from warren_app import once

item, said = sys.argv[1], {}

def submit(task, name, item):
    try:
        # A dropped submission has no id. (Without a result backend nobody can ask for the state of the others.)
        said[name] = "accepted" if task.delay(item, seconds=3).id else "dropped"
    except AlreadyQueued:
        said[name] = "refused"

def submit_when_done(task, name, item):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        submit(task, name, item)
        if said[name] == "accepted":
            return
        time.sleep(0.5)

for task in (once.rebuild_report, once.warm_cache):
    short = task.name.rpartition(".")[2]
    submit(task, short + " first", item)
    submit(task, short + " second", item)
    submit(task, short + " other", item + "-other")
    submit_when_done(task, short + " after", item)
print(json.dumps(said))
"""

# Nothing listens on the broker's port, and the publish is tried once.
FAIL = """
import json, socket, sys
from kombu.exceptions import OperationalError
from warren_app import once
from warren_app.celery import app

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    app.conf.broker_url = app.conf.broker_write_url = "pyamqp://127.0.0.1:%d//" % probe.getsockname()[1]
app.conf.broker_transport_options = {"max_retries": 1}
try:
    once.rebuild_report.apply_async((sys.argv[1],), retry=False)
except OperationalError:
    print("failed")
"""


@pytest.fixture
def submitter(publisher):
    assert publisher.expect("celery_app_once_redis_url"), "the inventory has no Redis for the locks: group `redis`"
    return publisher


def test_a_task_is_queued_once(submitter):
    said = json.loads(submitter.app_output("python", "-c", SUBMIT, str(uuid.uuid4()), seconds=180))
    assert said == {
        "rebuild_report first": "accepted",
        "rebuild_report second": "refused",
        "rebuild_report other": "accepted",
        "rebuild_report after": "accepted",
        "warm_cache first": "accepted",
        "warm_cache second": "dropped",
        "warm_cache other": "accepted",
        "warm_cache after": "accepted",
    }


def test_a_failed_publish_leaves_no_lock(submitter):
    item = str(uuid.uuid4())
    assert submitter.app_output("python", "-c", FAIL, item).split() == ["failed"]
    accepted = "import sys; from warren_app import once; print(once.rebuild_report.delay(sys.argv[1]).id)"
    assert submitter.app_output("python", "-c", accepted, item)
