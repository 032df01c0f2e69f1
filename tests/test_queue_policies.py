"""Every task queue is mirrored, and one with a bound has its own policy that sets both."""

import re

import pytest
import queue_policies


@pytest.mark.parametrize(
    ("nodes", "definition"),
    [
        ("all", {"ha-mode": "all", "ha-sync-mode": "automatic"}),
        (2, {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic"}),
        # As -e gives it.
        ("3", {"ha-mode": "exactly", "ha-params": 3, "ha-sync-mode": "automatic"}),
    ],
)
def test_a_queue_is_kept_on_so_many_nodes(nodes, definition):
    assert queue_policies.mirroring(nodes) == definition


def test_only_queues_with_a_bound_have_a_policy_of_their_own():
    queues = [{"name": "default"}, {"name": "solo", "max_length": 200}, {"name": "slow", "routes": ["*"]}]
    assert queue_policies.bounded_queue_policies(queues, {"ha-mode": "all"}, "ha") == [
        {
            "name": "ha-solo",
            "pattern": "^solo$",
            "priority": 20,
            "definition": {"ha-mode": "all", "max-length": 200, "overflow": "reject-publish"},
        }
    ]


def test_the_pattern_is_of_that_queue_alone():
    (policy,) = queue_policies.bounded_queue_policies([{"name": "shop.eu+1", "max_length": 1}], {}, "ha")
    assert re.search(policy["pattern"], "shop.eu+1")
    for other in ("shopxeu+1", "shop.eu+12", "my.shop.eu+1", "shop.euu1"):
        assert not re.search(policy["pattern"], other)


def test_the_common_definition_stays_as_it_is():
    common = {"ha-mode": "all"}
    queue_policies.bounded_queue_policies(
        [{"name": "a", "max_length": 1}, {"name": "b", "max_length": 2}], common, "ha"
    )
    assert common == {"ha-mode": "all"}
