"""A queue that exists cannot be changed, and one with tasks in it must not be forgotten."""

import pytest
from queue_changes import abandoned_queues, changed_queues

DEFINITIONS = {
    "queues": [
        {"name": "default", "vhost": "shop", "arguments": {"x-max-priority": 10}},
        {"name": "mail", "vhost": "shop", "arguments": {}},
        {"name": "own", "vhost": "shop", "arguments": {}},
        {"name": "mail", "vhost": "other", "arguments": {"x-max-priority": 3}},
    ],
    "policies": [
        {"name": "ha", "vhost": "shop", "pattern": "^(default|mail)$"},
        {"name": "ha", "vhost": "other", "pattern": "own"},
    ],
}


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
    assert changed_queues(DEFINITIONS, "shop", queues) == sentences


@pytest.mark.parametrize(
    ("pattern", "names"), [("^(default|mail)$", []), ("^default$", ["mail"]), ("^(default|post)$", ["mail"])]
)
def test_a_queue_that_the_inventory_has_no_longer_is_found(pattern, names):
    """One that no policy covers is somebody else's."""
    assert abandoned_queues(DEFINITIONS, "shop", [{"pattern": pattern}]) == names


def test_a_new_cluster_has_no_queues():
    definitions = {"queues": [], "policies": []}
    assert changed_queues(definitions, "shop", [{"name": "a"}]) == abandoned_queues(definitions, "shop", []) == []
