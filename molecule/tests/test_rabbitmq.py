"""The brokers, as each node sees its cluster, and as a client sees the brokers."""

import json

import pytest

PARKED = "warren-parked"
LOGIN = """
import sys
import celeryconfig
from celeryconfig import broker_url
from kombu import Connection, Queue
who, queue = sys.argv[1:]
# The project's own login stays in its settings: arguments end up in sudo's log.
own, _, place = broker_url[0].partition("://")[2].rpartition("@")
url = f"pyamqp://{who or own}@{place}"
with Connection(url, connect_timeout=5, ssl=getattr(celeryconfig, "broker_use_ssl", False)) as connection:
    connection.ensure_connection(max_retries=1)
    if queue:
        Queue(queue).bind(connection.channel()).declare()
"""
# What a worker's user may do.
MORE_THAN_SENDING = """
import json
from amqp import AccessRefused
from celerycontrol import app
said = {}
def attempt(name, do):
    with app.connection_for_write(transport_options={"confirm_publish": True}) as connection:
        try:
            do(connection.default_channel)
            said[name] = "allowed"
        except Exception as error:
            said[name] = type(error).__name__
attempt("read", lambda channel: channel.basic_get("default"))
attempt("purge", lambda channel: channel.queue_purge("default"))
attempt("declare", lambda channel: channel.queue_declare("default", durable=True))
attempt("parked", lambda channel: channel.basic_get("warren-parked"))
attempt("events", lambda channel: channel.queue_declare("celeryev.mine"))
def broadcast(channel):
    channel.basic_publish_confirm(channel.prepare_message("", content_encoding="utf-8"), "celery.pidbox")
attempt("control", broadcast)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def status(broker):
    return json.loads(broker.run("rabbitmq-diagnostics --quiet --formatter json cluster_status"))


def test_each_node_sees_all_nodes_running(broker, status):
    nodes = sorted(f"rabbit@{name}" for name in broker.expect("rabbitmq_nodes"))
    assert sorted(status["running_nodes"]) == nodes
    assert sorted(status["disk_nodes"]) == nodes
    assert status["partitions"] == {}
    assert status["alarms"] == []


def test_an_operator_can_ask_the_node(broker):
    found = json.loads(broker.run("rabbitmq-status"))
    assert (found["state"], found["partitions"], found["alarms"]) == ("running", [], [])
    assert broker.expect("rabbitmq_vhost") in {permission["vhost"] for permission in found["permissions"]}
    assert json.loads(broker.run("rabbitmq-status %s", broker.expect("rabbitmq_vhost")))["version"] == found["version"]


def test_effective_settings(broker):
    """Asked of the running node, as a file may be newer than the node."""
    locator, where = "queue_master_locator", "min-masters"
    if broker.expect("rabbitmq_quorum_queues"):
        locator, where = "queue_leader_locator", "balanced"
    effective = broker.run(
        "rabbitmqctl --quiet eval '{"
        "element(2, application:get_env(rabbit, cluster_partition_handling)),"
        "net_kernel:get_net_ticktime(),"
        "element(2, application:get_env(kernel, net_setuptime)),"
        f"element(2, application:get_env(rabbit, {locator})),"
        "element(2, application:get_env(rabbitmq_management_agent, disable_metrics_collector))"
        "}.'"
    )
    names = ["partition_handling", "net_ticktime_seconds", "net_setuptime_seconds"]
    wanted = ",".join(str(broker.expect(f"rabbitmq_{name}")) for name in names)
    assert effective == f'{{{wanted},<<"{where}">>,true}}'


def test_the_node_runs_with_the_configuration_on_disk(broker):
    broker.run("sha256sum --check --status /run/rabbitmq-server.started-config.sha256")


def test_management_is_off(broker, status):
    assert not broker.host.socket("tcp://0.0.0.0:15672").is_listening
    assert not broker.host.socket("tcp://:::15672").is_listening
    ports = {listener["port"] for listeners in status["listeners"].values() for listener in listeners}
    assert 15672 not in ports
    explicit = broker.run("rabbitmq-plugins --quiet list --enabled --minimal").split()
    assert sorted(explicit) == sorted(broker.expect("rabbitmq_plugins"))
    running = broker.run(
        "rabbitmqctl --quiet eval 'lists:keymember(rabbitmq_management, 1, application:which_applications()).'"
    )
    assert running == "false"


def test_metrics_are_served(broker, monitors):
    """To Prometheus' host."""
    url = f"{broker.scheme}://{broker.address}:{broker.expect('rabbitmq_prometheus_port')}/metrics"
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
    text = monitors[0].python(fetch, url)
    assert f'rabbitmq_node="rabbit@{broker.name}"' in text


def test_the_watchdog_is_waiting(broker):
    assert broker.host.service("rabbitmq-watchdog.timer").is_running
    assert broker.run("systemctl show --property=Result --value rabbitmq-watchdog.service") == "success"


def test_policies_are_those_of_the_inventory(broker):
    vhost = broker.expect("rabbitmq_vhost")
    listed = json.loads(broker.run("rabbitmqctl --quiet --formatter json list_policies -p %s", vhost))
    found = {
        policy["name"]: (policy["pattern"], policy["priority"], json.loads(policy["definition"])) for policy in listed
    }
    wanted = {
        policy["name"]: (policy["pattern"], policy["priority"], policy["definition"])
        for policy in broker.expect("rabbitmq_policies")
    }
    assert found == wanted


def test_each_task_queue_has_copies_that_are_in_sync(brokers, workers, queues):
    found, quorum = queues(), brokers[0].expect("rabbitmq_quorum_queues")
    all_queues = "tasks" if quorum else "ha"
    (definition,) = [
        policy["definition"] for policy in brokers[0].expect("rabbitmq_policies") if policy["name"] == all_queues
    ]
    copies = definition.get("ha-params", len(brokers))
    # A queue with a bound has its own policy, which has the definition of all, too.
    own = {policy["name"] for policy in brokers[0].expect("rabbitmq_policies")}
    for wanted in workers[0].expect("celery_app_queues"):
        queue, its_own = found[wanted["name"]], f"{all_queues}-{wanted['name']}"
        assert queue["policy"] == (its_own if its_own in own else all_queues)
        assert len(queue["copies"]) == copies - 1
        assert sorted(queue["in_sync"]) == sorted(queue["copies"])
        assert queue["durable"] is True
        priority = {"x-max-priority": wanted["max_priority"]} if "max_priority" in wanted else {}
        assert queue["arguments"] == priority | ({"x-queue-type": "quorum"} if quorum else {})


@pytest.mark.cluster
def test_only_task_queues_have_copies(workers, queues):
    """The queues of parked tasks and of those that wait for their time count as such."""
    copied = {name for name, queue in queues().items() if queue["copies"] and "celery_delayed" not in name}
    assert copied == {*workers[0].expect("celery_worker_known_queues"), PARKED}


def test_remote_control_queues_are_bounded(queues):
    pidbox = [queue for name, queue in queues().items() if name.endswith("celery.pidbox")]
    assert pidbox
    assert {queue["policy"] for queue in pidbox} == {"celery-pidbox"}


def login(host, who="", queue=""):
    """Log in as the project does, or as USER:PASSWORD; testinfra's result."""
    return host.app("python", "-c", LOGIN, who, queue, seconds=30)


def test_a_worker_may_use_its_own_names_only(workers):
    assert login(workers[0]).rc == 0
    foreign = login(workers[0], queue="somebody-elses")
    assert foreign.rc != 0
    assert "ACCESS_REFUSED" in foreign.stderr


@pytest.mark.cluster
def test_a_host_without_workers_sends_tasks_and_no_more(publisher):
    """What tests/test_purposes.py tries of each user, here with what is deployed."""
    assert login(publisher).rc == 0
    said = json.loads(publisher.app_output("python", "-c", MORE_THAN_SENDING))
    assert said == dict.fromkeys(said, "AccessRefused")
    assert len(said) == 6


def test_each_program_is_logged_in_as_the_user_of_its_purpose(brokers):
    """And nobody as somebody else. The scheduler and the site log in when they send."""
    found = {name for broker in brokers for name in json.loads(broker.run("rabbitmq-status"))["logged_in"]}
    assert found <= {user["name"] for user in brokers[0].expect("rabbitmq_users")}
    assert {"worker", "flower"} <= {name.partition("-")[0] for name in found}


def test_guest_is_refused(publisher):
    refused = login(publisher, "guest:guest")
    assert refused.rc != 0
    assert "ACCESS_REFUSED" in refused.stderr or "AccessRefused" in refused.stderr
