"""`site.yml --check --diff`: what it says, and that it does nothing."""

import json
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"

pytestmark = [pytest.mark.disruptive, pytest.mark.lengthy]


def test_on_a_converged_cluster_nothing_would_change(playbook):
    output, recap = playbook("playbooks/site.yml", "--check", "--diff")
    assert {host: counts["changed"] for host, counts in recap.items() if counts["changed"]} == {}
    # apt is not even asked: it takes seconds to find that a package is installed.
    tasks = [task for file in ROLES.glob("*/tasks/*.yml") for task in yaml.safe_load(file.read_text())]
    installing = [task["name"] for task in tasks if "ansible.builtin.apt" in task]
    assert installing
    assert [name for name in installing if f" : {name}]" in output] == []


@pytest.mark.cluster
def test_what_would_change_is_shown_and_not_done(playbook, all_members, secrets, state):
    before = state(all_members)
    wanted = {
        "rabbitmq_extra_config": {"heartbeat": 45},
        "celery_app_prefetch_multiplier": 2,
        "haproxy_max_connections": 4000,
        "secret_rabbitmq_worker": "another-password",
    }
    output, recap = playbook(
        *["playbooks/site.yml", "--check", "--diff", "--tags", "rabbitmq,haproxy,celery_worker,celery_beat,flower"],
        *["-e", json.dumps(wanted)],
    )
    assert "+heartbeat = 45" in output
    assert "settings/" in output
    # On the control node only the inventory is looked at.
    unchanged = {host for host, counts in recap.items() if not counts["changed"]} - {"localhost"}
    assert unchanged == set()
    assert [name for name, secret in secrets.items() if secret in output] == []
    assert "another-password" not in output
    assert state(all_members) == before
