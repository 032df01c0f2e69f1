"""A name that the kit does not know is an input that has no effect: preflight says so, and what it may have been."""

import sys

import kit
import pytest

sys.path.append(str(kit.PROJECT / "plugins/module_utils"))

from warren import inputs

KNOWN = ["cluster_vip", "cluster_vhost", "celery_worker_log_level", "redis_bind"]


@pytest.mark.parametrize(
    ("hostvars", "texts"),
    [
        ({"w1": {"cluster_vip": "", "celery_worker_log_level": "info"}}, []),
        (
            {"w1": {"celery_worker_logg_level": "info"}, "w2": {}},
            ["`celery_worker_logg_level` of w1 (is it `celery_worker_log_level`?)"],
        ),
        ({"w1": {"redis_xyzzyxyzzy": 1}}, ["`redis_xyzzyxyzzy` of all hosts"]),
        (
            {"w1": {"cluster_vipp": 1}, "w2": {"cluster_vipp": 1, "cluster_vhosts": 1}, "w3": {}},
            ["`cluster_vhosts` of w2 (is it `cluster_vhost`?)", "`cluster_vipp` of w1, w2 (is it `cluster_vip`?)"],
        ),
        # An operator's own, Ansible's, and what a role keeps for itself.
        ({"w1": {"shop_cluster_vipp": 1, "clusters": 1, "ansible_host": "w1", "__celery_worker_x": 1}}, []),
        # Almost the kit's.
        ({"w1": {"clutser_vhost": 1}}, ["`clutser_vhost` of all hosts (is it `cluster_vhost`?)"]),
        ({}, []),
    ],
)
def test_a_name_of_the_kit_that_nobody_knows_is_told(hostvars, texts):
    assert inputs.unknown_variables(hostvars, ["cluster", "celery_worker", "redis"], KNOWN) == texts
