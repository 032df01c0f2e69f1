"""What changes a cluster: a worker host more, another broker configuration, a broker that hangs or runs apart."""

import concurrent.futures
import dataclasses
import json
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from testinfra.utils.ansible_runner import AnsibleRunner

pytestmark = [pytest.mark.disruptive, pytest.mark.cluster, pytest.mark.lengthy]

PROJECT = Path(__file__).resolve().parents[2]
SCALE_OUT = PROJECT / "inventory/lab-scale-out.yml"


def test_one_more_worker_host_takes_tasks_and_no_other_host_changes(all_members, workers, playbook, count_tasks, state):
    before = state(all_members)
    playbook("lab/create.yml", "-i", SCALE_OUT)
    try:
        _, recap = playbook("playbooks/site.yml", "-i", SCALE_OUT, "--limit", "w3")
        assert set(recap) == {"w3"}
        assert recap["w3"]["changed"] > 0
        assert state(all_members) == before

        host = AnsibleRunner(str(SCALE_OUT)).get_host("w3")
        w3 = dataclasses.replace(workers[0], name="w3", host=host)
        assert count_tasks(f"scale-out-{uuid.uuid4()}", 300, also=[w3])["w3"] > 0
        # It talks only to its own HAProxy, and continues after that was killed.
        port = workers[0].expect("haproxy_listeners")[0]["port"]
        found = w3.run(f"ss --tcp --numeric --processes --no-header state established 'dport = :{port}'").splitlines()
        peers = {line.split()[3] for line in found if '"haproxy"' not in line}
        assert peers == {f"127.0.0.1:{port}"}
        w3.run("systemctl kill --signal=KILL haproxy")
        assert count_tasks(f"own-haproxy-{uuid.uuid4()}", 300, "--rate", "50", also=[w3])["w3"] > 0
    finally:
        subprocess.run([PROJECT / "lab/podman", "rm", "--force", "--time=0", "warren-w3"], check=True)


def test_a_changed_broker_configuration_restarts_one_broker_at_a_time(brokers, playbook, count_tasks):
    """Twice, as the second change puts the first one back. Tasks flow, and none is lost or done twice."""

    def heartbeats():
        question = "rabbitmqctl --quiet eval 'element(2, application:get_env(rabbit, heartbeat)).'"
        return {broker.run(question) for broker in brokers}

    def management_listens(broker):
        return broker.run("ss --listening --tcp --numeric --no-header 'sport = :15672'") != ""

    changed = json.dumps({"rabbitmq_extra_config": {"heartbeat": 45}})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        load = ["--rate", "20", "--payload-bytes", "1000"]
        counting = pool.submit(count_tasks, f"rolling-{uuid.uuid4()}", 2000, *load)
        before = heartbeats()
        _, recap = playbook("playbooks/site.yml", "--tags", "rabbitmq", "-e", changed)
        assert heartbeats() == {"45"} != before
        # Three nodes each wrote the file, were drained, and were restarted.
        assert {name: recap[name]["changed"] for name in recap if recap[name]["changed"]} == {
            broker.name: 3 for broker in brokers
        }
        # Somebody switched the management page on meanwhile: the next run switches it off, in the running node.
        brokers[0].run("rabbitmq-plugins enable rabbitmq_management")
        assert management_listens(brokers[0])
        playbook("playbooks/site.yml", "--tags", "rabbitmq")
        assert not management_listens(brokers[0])
        assert heartbeats() == before
        counting.result()


def test_a_misspelt_broker_setting_never_reaches_the_broker(brokers, playbook, state):
    before = state(brokers)
    output, _ = playbook(
        "playbooks/site.yml",
        "--tags",
        "rabbitmq",
        "-e",
        json.dumps({"rabbitmq_extra_config": {"hartbeat": 45}}),
        expect_success=False,
    )
    assert "hartbeat" in output
    assert state(brokers) == before


def test_the_watchdog_restarts_a_broker_that_runs_apart_from_the_others(brokers):
    """It loses the others for a moment and does not pause: here because it is set to ignore a partition."""
    victim = brokers[-1]
    status = "rabbitmq-diagnostics --quiet --formatter json cluster_status"
    found = "the node runs apart from most of its cluster"
    ignore = "application:set_env(rabbit, cluster_partition_handling, ignore)"
    since = victim.run("date +%s")
    victim.run(f"rabbitmqctl eval '{ignore}, [erlang:disconnect_node(Node) || Node <- nodes()].'")
    for _ in range(20):
        time.sleep(3)
        said = victim.run("journalctl --unit=rabbitmq-watchdog --since=@%s --output=cat", since)
        answers = [broker.host.run(status) for broker in brokers]
        seen = [len(json.loads(answer.stdout)["running_nodes"]) for answer in answers if answer.rc == 0]
        if found in said and seen == [len(brokers)] * len(brokers):
            break
    assert found in said
    assert seen == [len(brokers)] * len(brokers)


@pytest.fixture
def hanging(brokers):
    """A broker that is started while it is cut off from the others, and waits for them with its port closed."""
    victim, others = brokers[-1], brokers[:-1]
    addresses = " , ".join(broker.address for broker in others)
    victim.run("apt-get install --quiet --quiet --yes nftables", seconds=120)
    victim.run("systemctl stop rabbitmq-server")
    try:
        victim.run(
            "sh -c %s",
            f"nft add table inet cut && nft add chain inet cut out '{{ type filter hook output priority 0; }}' &&"
            f" nft add rule inet cut out ip daddr '{{ {addresses} }}' drop",
        )
        victim.run("systemctl start --no-block rabbitmq-server")
        yield victim
    finally:
        victim.run("nft delete table inet cut")


def said_by_the_watchdog(victim, since, words):
    """What the watchdog has said since then, when it has said these words or two minutes are over."""
    for _ in range(40):
        said = victim.run("journalctl --unit=rabbitmq-watchdog --since=@%s --output=cat", since)
        if words in said:
            break
        time.sleep(3)
    return said


def test_the_watchdog_restarts_a_broker_that_waits_for_a_lock_that_it_never_gets(hanging, playbook):
    """RabbitMQ's own words, long before the limit; the lock itself cannot be made to hang on purpose."""
    since = hanging.run("date +%s")
    assert "seconds" in said_by_the_watchdog(hanging, since, "the node is booting, for")
    log = f"/var/log/rabbitmq/rabbit@{hanging.name}.log"
    hanging.run("sh -c %s", f"echo 'Global hang workaround: global state seems broken' >>{log}")
    said = said_by_the_watchdog(hanging, since, "killing")
    assert "the node waits for a lock that it will never get\nkilling and restarting the node" in said
    assert "of 120 seconds" in said
    hanging.run("nft flush table inet cut")
    playbook("playbooks/verify.yml", "--limit", "rabbitmq")


def test_the_watchdog_restarts_a_broker_that_hangs_while_booting(hanging, playbook):
    """The limit is lowered for the test; the timer, the watchdog and the node are the real ones."""
    drop_in = "/run/systemd/system/rabbitmq-watchdog.service.d"
    since = hanging.run("date +%s")
    hanging.run("mkdir -p %s", drop_in)
    limit = (
        f"printf '[Service]\\nEnvironment=BOOT_TIMEOUT_SECONDS=15\\n' > {drop_in}/test.conf; systemctl daemon-reload"
    )
    try:
        hanging.run("sh -c %s", limit)
        assert "killing and restarting the node" in said_by_the_watchdog(hanging, since, "killing")
    finally:
        hanging.run("sh -c %s", f"rm -rf {drop_in}; systemctl daemon-reload")
    hanging.run("nft flush table inet cut")
    # Nobody touches the node: it was started again, finds the others, and joins.
    playbook("playbooks/verify.yml", "--limit", "rabbitmq")
