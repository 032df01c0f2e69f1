"""Slow tasks hold up no fast ones, urgent ones overtake others, and an inventory that would lose a queue is refused."""

import json
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


def refused(playbook, **changed):
    """What preflight says of changed inputs, on one line."""
    output, recap = playbook("playbooks/preflight.yml", "-e", json.dumps(changed), expect_success=False)
    assert {counts["changed"] for counts in recap.values()} == {0}
    return " ".join(output.split())


@pytest.mark.mirrored
def test_preflight_refuses_to_change_a_queue_that_exists(playbook, workers):
    queues = [queue | {"max_priority": 20} for queue in workers[0].expect("celery_app_queues")]
    said = refused(playbook, cluster_queues=queues)
    assert "RabbitMQ changes no queue that exists: the queue default has `max_priority: 10` and would need 20" in said


def test_preflight_refuses_another_virtual_host(playbook, brokers):
    said = refused(playbook, cluster_vhost="elsewhere")
    assert "have no virtual host elsewhere, and their queues are elsewhere (" in said
    assert f" in {brokers[0].expect('rabbitmq_vhost')}): set `cluster_vhost` as it was" in said


@pytest.mark.disruptive
def test_preflight_refuses_to_forget_a_queue_with_tasks(playbook, workers, publisher, ledger):
    run = f"left-{uuid.uuid4()}"
    (host,) = [one for one in workers if "solo" in str(one.expect("celery_worker_programs"))]
    queues = [queue for queue in host.expect("celery_app_queues") if queue["name"] != "solo"]
    programs = [{"name": "left", "concurrency": 1, "queues": [queue["name"] for queue in queues]}]
    host.run("supervisorctl stop solo")
    try:
        publisher.app_output("ledger", "submit", "--run", run, "--count", "3", "--queue", "solo")
        said = refused(playbook, cluster_queues=queues, cluster_worker_programs=programs)
        assert "nobody would do them: 3 in solo. Leave the queue in `cluster_queues`" in said
    finally:
        host.run("supervisorctl start solo")
    assert len(ledger(run, 3)) == 3
