"""From mirrored to quorum queues and back, on RabbitMQ 3 and under a load of 50 tasks a second: no task is lost."""

import json
import time

import kit
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.mirrored]


@pytest.fixture
def quorum(inventory):
    """The inventory as the operator has changed it: quorum queues, and what they cannot have left out."""
    return (*inventory, str(kit.PROJECT / "inventory/lab-quorum.yml"))


def virtual_hosts(brokers):
    return {host["name"] for host in json.loads(brokers[0].run("rabbitmq-status"))["virtual_hosts"]}


def test_preflight_refuses_another_type(quorum, play):
    said = " ".join(play(quorum, "playbooks/preflight.yml", expect_success=False).split())
    assert "The brokers still have warren, with" in said
    assert "nobody would do the tasks that wait there. To move them to warren-quorum, or to go on" in said
    assert "playbooks/migrate_queues.yml`; or set `cluster_queue_type` as it was." in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--limit", "w1"), "Leave out `--limit`."), (("--tags", "rabbitmq"), "Leave out `--tags` and `--skip-tags`.")],
)
def test_a_part_of_the_cluster_does_not_move_alone(quorum, play, arguments, words):
    said = play(quorum, "playbooks/migrate_queues.yml", *arguments, expect_success=False)
    assert words in " ".join(said.split())


@pytest.mark.disruptive
@pytest.mark.lengthy
@pytest.mark.lifecycle
def test_no_task_is_lost(brokers, publishers, load, ledger, quorum, inventory, play, kill_at):
    """Also where the run is killed at several steps, and tasks wait in the worker for their time."""
    end = load()
    late = f"late-{time.time()}"
    publishers[0].app_output("ledger", "submit", "--run", late, "--count", "200", "--countdown", "120")
    for words in (
        "PLAY [Load balancers]",
        "PLAY [Workers]",
        "TASK [rabbitmq : Move the tasks]",
        "PLAY [The scheduler]",
    ):
        kill_at(quorum, words, "playbooks/migrate_queues.yml")
    # A program that is not the inventory's still sends to the former queues: its tasks are done.
    said = play(quorum, "playbooks/migrate_queues.yml", "-e", "minutes=1", expect_success=False)
    assert "warren still has" in said
    assert "of publisher-" in said
    end()
    assert len(ledger(late, 200)) == 200
    play(quorum, "playbooks/migrate_queues.yml")
    assert virtual_hosts(brokers) == {"/", "warren-quorum"}
    assert "rabbitmq_shovel" not in json.loads(brokers[0].run("rabbitmq-status"))["plugins"]
    end = load()
    time.sleep(5)
    play(inventory, "playbooks/migrate_queues.yml", "-e", "minutes=1", expect_success=False)
    end()
    play(inventory, "playbooks/migrate_queues.yml")
    assert virtual_hosts(brokers) == {"/", "warren"}
