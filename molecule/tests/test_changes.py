"""What changes a cluster: a worker host more, another broker configuration, a broker that hangs while booting."""

import dataclasses
import json
import subprocess
import time
import uuid

import pytest
from conftest import PROJECT
from testinfra.utils.ansible_runner import AnsibleRunner

pytestmark = pytest.mark.disruptive

SCALE_OUT = PROJECT / "inventory/lab-scale-out.yml"

# What a deployment could change on a host: its files, and the processes of its services.
STATE = (
    "{ find /etc /opt /usr/local /usr/lib/systemd -xdev -type f -not -name '*.pyc' -printf '%p %T@ %s\\n' | sort;"
    " systemctl show --property=MainPID rabbitmq-server haproxy supervisor; supervisorctl pid all 2>&1; } | sha256sum"
)


def state(members):
    """A digest for each host of what a deployment could have changed on it."""
    return {member.name: member.run("sh -c %s", STATE) for member in members}


def test_one_more_worker_host_takes_tasks_and_no_other_host_changes(all_members, workers, playbook, count_tasks):
    before = state(all_members)
    playbook("molecule/shared/create.yml", "-i", SCALE_OUT)
    try:
        _, recap = playbook("playbooks/site.yml", "-i", SCALE_OUT, "--limit", "w3")
        assert set(recap) == {"localhost", "w3"}
        assert recap["w3"]["changed"] > 0
        assert state(all_members) == before

        host = AnsibleRunner(str(SCALE_OUT)).get_host("w3")
        w3 = dataclasses.replace(workers[0], name="w3", host=host)
        assert count_tasks(f"scale-out-{uuid.uuid4()}", 300, also=[w3])["w3"] > 0
    finally:
        subprocess.run([PROJECT / "molecule/shared/podman", "rm", "--force", "--time=5", "warren-w3"], check=True)


def test_a_changed_broker_configuration_restarts_one_broker_at_a_time(brokers, playbook, count_tasks):
    """Twice, as the second change puts the first one back; tasks flow meanwhile, and none is lost or done twice."""

    def started():
        return [broker.run("systemctl show --property=ActiveEnterTimestampMonotonic --value rabbitmq-server") for broker in brokers]

    def heartbeats():
        return {broker.run("rabbitmqctl --quiet eval 'element(2, application:get_env(rabbit, heartbeat)).'") for broker in brokers}

    before = started()
    output, recap = playbook(
        "playbooks/site.yml", "--tags", "rabbitmq", "-e", json.dumps({"rabbitmq_extra_config": {"heartbeat": 45}})
    )
    after = started()
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert heartbeats() == {"45"}
    playbook("playbooks/site.yml", "--tags", "rabbitmq")
    assert heartbeats() == {"60"}
    _, recap = playbook("playbooks/site.yml", "--tags", "rabbitmq")
    assert {host: counts["changed"] for host, counts in recap.items()} == dict.fromkeys(recap, 0)


def test_a_misspelt_broker_setting_never_reaches_the_broker(brokers, playbook):
    before = state(brokers)
    output, _ = playbook(
        "playbooks/site.yml", "--tags", "rabbitmq", "-e", json.dumps({"rabbitmq_extra_config": {"hartbeat": 45}}), expect_success=False
    )
    assert "hartbeat" in output
    assert state(brokers) == before


def test_the_watchdog_restarts_a_broker_that_hangs_while_booting(brokers, playbook):
    """The last broker is cut off from the others and started: it waits for them for ever, with its port closed, and
    systemd calls it active or activating. The limit is lowered for the test; timer, watchdog and node are the real ones."""
    victim, others = brokers[-1], brokers[:-1]
    addresses = " , ".join(broker.address for broker in others)
    drop_in = "/run/systemd/system/rabbitmq-watchdog.service.d"
    victim.run("apt-get install --quiet --quiet --yes nftables", seconds=120)
    since = victim.run("date +%s")
    victim.run("systemctl stop rabbitmq-server")
    try:
        victim.run(
            "sh -c %s",
            f"nft add table inet cut && nft add chain inet cut out '{{ type filter hook output priority 0; }}' &&"
            f" nft add rule inet cut out ip daddr '{{ {addresses} }}' drop",
        )
        victim.run("mkdir -p %s", drop_in)
        victim.run("sh -c %s", f"printf '[Service]\\nEnvironment=BOOT_TIMEOUT_SECONDS=15\\n' > {drop_in}/test.conf; systemctl daemon-reload")
        victim.run("systemctl start --no-block rabbitmq-server")
        killed = ""
        for _ in range(40):
            killed = victim.run("journalctl --unit=rabbitmq-watchdog --since=@%s --grep=killing --output=cat || true", since)
            if killed:
                break
            time.sleep(3)
        assert "killing and restarting the node" in killed
    finally:
        victim.run("sh -c %s", f"nft delete table inet cut; rm -rf {drop_in}; systemctl daemon-reload")
    # Nobody touches the node: it was started again, finds the others, and joins.
    playbook("playbooks/verify.yml", "--limit", "rabbitmq")
