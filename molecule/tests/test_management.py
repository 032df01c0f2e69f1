"""RabbitMQ's management page: off, and on for a while."""

import json
import socket
import time
import urllib.error
import uuid

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive, pytest.mark.lengthy]

OFF = "rabbitmqctl --quiet eval 'application:get_env(rabbitmq_management_agent, disable_metrics_collector).'"


def ask(broker, path, login):
    """What the page's API answers."""
    return json.loads(broker.page(f"{broker.address}:15672/api/{path}", login))


def is_off(brokers):
    """Whether nothing listens on the page's port."""
    for broker in brokers:
        with socket.socket() as connection:
            connection.settimeout(5)
            if connection.connect_ex((broker.address, 15672)) == 0:
                return False
    return True


def test_state_is_on_or_off(playbook):
    output, recap = playbook("playbooks/management.yml", expect_success=False)
    assert "playbooks/management.yml -e state=on`, or the same with `state=off`" in " ".join(output.split())
    assert not any(counts["changed"] for counts in recap.values())


def test_the_page_is_there_for_a_look_and_changes_nothing_for_good(playbook, brokers, queues, workers, count_tasks):
    assert is_off(brokers)
    output, _ = playbook("playbooks/management.yml", "-e", "state=on")
    password = brokers[0].expect("rabbitmq_management_password")
    assert "user look, the password is in" in output
    assert password not in output
    try:
        login = f"look:{password}"
        for broker in brokers:
            assert len(ask(broker, "nodes", login)) == len(brokers)
        count_tasks(f"page-{uuid.uuid4()}", 100)
        time.sleep(10)
        (queue,) = [queue for queue in ask(brokers[0], "queues", login) if queue["name"] == "default"]
        assert queue["message_stats"]["publish"] >= 100
        with pytest.raises(urllib.error.HTTPError):
            ask(brokers[0], "overview", "look:wrong")
    finally:
        playbook("playbooks/management.yml", "-e", "state=off")
    assert is_off(brokers)
    for broker in brokers:
        assert broker.run("sh -c 'rabbitmqctl --quiet list_users | grep -c look || true'") == "0"
        assert broker.run(OFF) == "{ok,true}"
    _, recap = playbook("playbooks/site.yml", "--tags", "rabbitmq", "--limit", "rabbitmq")
    assert not any(counts["changed"] for counts in recap.values())


def test_the_page_switches_itself_off(playbook, brokers):
    playbook("playbooks/management.yml", "-e", "state=on", "-e", "rabbitmq_management_minutes=1")
    for _ in range(60):
        time.sleep(3)
        if is_off(brokers):
            break
    assert is_off(brokers)
