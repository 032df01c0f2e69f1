"""Which hosts outside of a run with --limit have to let its hosts in."""

import json

import kit
import pytest
import yaml


@pytest.fixture
def others(tmp_path):
    """The hosts whose firewalls have to let some hosts of an inventory in: others(inventory, limit, **variables)."""
    tasks = [
        {"other_firewalls": None, "register": "found"},
        {"ansible.builtin.debug": {"msg": "{{ found.firewalls }}"}},
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))

    def run(inventory, limit, **variables):
        done = kit.run(
            *["ansible-playbook", *kit.inventory_arguments(kit.INVENTORIES[inventory]), tmp_path / "play.yml"],
            *["--limit", limit, "--connection", "local"],
            *kit.extra_vars(secrets_dir=tmp_path / "secrets", **variables),
            ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)["plays"][0]["tasks"][-1]["hosts"]
        return next(iter(told.values()))["msg"]

    return run


def test_those_to_which_a_new_host_connects(others):
    """Its own HAProxy connects to the brokers, its programs to Redis; the project may also use the shared HAProxies."""
    found = {firewall["name"]: firewall["inputs"] for firewall in others("lab-scale-out", "w3")}
    assert sorted(found) == ["lb1", "lb2", "mon1", "mq1", "mq2", "mq3"]
    amqp = next(port for port in found["mq1"]["host_firewall_ports"] if port["port"] == 5671)
    assert "10.203.57.33" in amqp["clients"]
    assert found["mq1"]["host_firewall_extra_ports"] == []


def test_none_where_no_host_is_outside_or_has_a_firewall(others):
    assert others("lab-scale-out", "all") == []
    assert others("lab-scale-out", "w3", host_firewall=False) == []
