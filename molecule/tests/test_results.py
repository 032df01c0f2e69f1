"""Results: a host gets the result of another host's task, and nothing is kept of results that nobody asked for."""

import uuid

import pytest

pytestmark = pytest.mark.cluster

# Submits a task and prints its id; given an id, prints what another process stored under it.
SUBMIT = """
import sys
from celery.app.utils import find_app
app = find_app(sys.argv[1])
app.loader.import_default_modules()
print(app.tasks["warren_app.tasks.count_words"].delay("one two three").id)
"""
GET = """
import sys
from celery.app.utils import find_app

print(find_app(sys.argv[1]).AsyncResult(sys.argv[2]).get(timeout=30))
"""


def ask(store, *words):
    """What the instance for results answers with a number."""
    (instance,) = [item for item in store.expect("redis_instances") if item["name"] == "results"]
    return int(store.redis_cli(instance, *words))


def test_a_result_is_got_on_another_host(publisher, workers):
    module = publisher.expect("celery_app_module")
    task_id = publisher.app_output("python", "-c", SUBMIT, module).strip()
    assert workers[-1].app_output("python", "-c", GET, module, task_id).strip() == "3"


def test_a_result_expires(publisher, store):
    module = publisher.expect("celery_app_module")
    task_id = publisher.app_output("python", "-c", SUBMIT, module).strip()
    publisher.app_output("python", "-c", GET, module, task_id)
    left = ask(store, "ttl", f"celery-task-meta-{task_id}")
    assert 0 < left <= publisher.expect("celery_app_result_expires_seconds")


def test_ignored_results_leave_nothing_behind(store, queues, count_tasks):
    before, queues_before = ask(store, "dbsize"), set(queues())
    count_tasks(f"ignored-{uuid.uuid4()}", 200)
    assert ask(store, "dbsize") <= before
    assert {name for name in set(queues()) - queues_before if "pidbox" not in name and "celeryev" not in name} == set()
