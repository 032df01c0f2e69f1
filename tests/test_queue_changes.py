"""A queue that exists cannot be changed, and one with tasks in it must not be forgotten."""

import json

import pytest
from queue_changes import abandoned_queues, changed_queues

POLICIES = [{"name": "ha", "pattern": "^(default|mail)$"}]


def broker(*leads, state="running"):
    found = {"state": state, "policies": POLICIES, "leads": leads} if state == "running" else {"state": state}
    return {"answers": {"rabbitmq": {"rc": 0, "stdout": json.dumps(found), "stderr": ""}}}


def queue(name, ready, unacknowledged=0, max_priority=0):
    return {"name": name, "ready": ready, "unacknowledged": unacknowledged, "max_priority": max_priority}


SAID = [
    broker(queue("default", 0, max_priority=10), queue("own", 5)),
    broker(queue("mail", 2, 1), queue("celeryev.x", 1)),
    broker(state="booting"),
    # A node that is down, and a host that cannot be reached.
    {"answers": {"rabbitmq": {"rc": 69, "stdout": "", "stderr": "unable"}}},
    {"unreachable": True, "msg": "timed out"},
]


@pytest.mark.parametrize(
    ("queues", "sentences"),
    [
        ([{"name": "default", "max_priority": 10}, {"name": "mail"}, {"name": "new", "max_priority": 5}], []),
        ([{"name": "mail", "max_priority": 0}], []),
        ([{"name": "default"}], ["the queue default has `max_priority: 10` and would need 0"]),
        ([{"name": "mail", "max_priority": 3}], ["the queue mail has `max_priority: 0` and would need 3"]),
    ],
)
def test_a_changed_priority_is_said(queues, sentences):
    assert changed_queues(SAID, queues) == sentences


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("^(default|mail)$", []), ("^default$", ["3 in mail"]), ("^mail$", []), ("^post$", ["3 in mail"])],
)
def test_tasks_of_a_queue_that_the_inventory_has_no_longer_are_counted(pattern, said):
    """One without tasks may go, and one that no policy covers is somebody else's."""
    assert abandoned_queues(SAID, [{"pattern": pattern}]) == said


def test_a_new_cluster_has_no_queues():
    assert changed_queues([], [{"name": "a"}]) == abandoned_queues(SAID[2:], []) == []
