"""The plan of the storm: reproducible, and never more than the cluster bears."""

import json

import pytest
from storm import LONGEST, SHORTEST_ROUND_SECONDS, incomplete_copies, storm

FAULTS = {
    "broker_killed": {"group": "rabbitmq"},
    "broker_frozen": {"group": "rabbitmq"},
    "haproxy_killed": {"group": "haproxy"},
    "worker_killed": {"group": "celery_workers"},
}
GROUPS = {"rabbitmq": ["mq1", "mq2", "mq3"], "haproxy": ["lb1", "lb2"], "celery_workers": ["w1", "w2"]}


def group_of(host):
    return next(group for group, hosts in GROUPS.items() if host in hosts)


def test_a_seed_gives_the_same_storm_and_another_one_another():
    assert storm(FAULTS, GROUPS, 7, 600) == storm(dict(reversed(FAULTS.items())), GROUPS, 7, 600)
    assert storm(FAULTS, GROUPS, 7, 600) != storm(FAULTS, GROUPS, 8, 600)


@pytest.mark.parametrize("seed", range(50))
def test_each_fault_ends_and_strikes_one_host_of_a_group_at_most(seed):
    rounds = storm(FAULTS, GROUPS, seed, 600)
    assert len(rounds) * SHORTEST_ROUND_SECONDS >= 600
    for one in rounds:
        broken, now = {}, 0
        for step in one["steps"]:
            now += step["wait"]
            assert step["wait"] >= 0
            assert FAULTS[step["name"]]["group"] == group_of(step["victim"])
            if step["heals"]:
                assert 0 < now - broken.pop((step["name"], step["victim"])) <= LONGEST
            else:
                broken[step["name"], step["victim"]] = now
            groups = [group_of(victim) for _, victim in broken]
            assert len(groups) == len(set(groups)) <= 2
        assert broken == {}


def test_every_fault_and_pairs_occur():
    rounds = [one for seed in range(20) for one in storm(FAULTS, GROUPS, seed, 600)]
    assert {step["name"] for one in rounds for step in one["steps"]} == FAULTS.keys()
    assert {len(one["steps"]) for one in rounds} == {2, 4}


def test_a_group_with_too_few_hosts_is_spared():
    small = GROUPS | {"rabbitmq": ["mq1", "mq2"], "haproxy": ["lb1"]}
    assert {step["victim"] for one in storm(FAULTS, small, 1, 600) for step in one["steps"]} == {"w1", "w2"}
    with pytest.raises(ValueError, match="a storm needs three brokers, or two of another kind"):
        storm(FAULTS, {"rabbitmq": ["mq1"]}, 1, 600)


def test_a_queue_with_a_copy_that_is_behind_is_named():
    behind = {"name": "mail", "mirrors": ["mq2", "mq3"], "synchronised": ["mq3"]}
    whole = behind | {"name": "default", "synchronised": ["mq3", "mq2"]}
    alone = behind | {"name": "celeryev.1", "mirrors": [], "synchronised": []}
    assert incomplete_copies(json.dumps({"state": "running", "leads": [behind, whole, alone]})) == ["mail"]
