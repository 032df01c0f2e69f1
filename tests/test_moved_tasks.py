"""How tasks move from the virtual host of one type of queues to that of the other, on a real RabbitMQ."""

import json

import pytest
from kombu import Connection, Exchange, Producer, Queue
from moved_tasks import DELAYS, homeless, left_behind, other_shovels, shovels
from rabbitmq import free_port, running_rabbitmq
from shop_project import until

EXCHANGES = [
    {"name": "warren-tasks", "type": "topic", "queues": ["default", "mail"]},
    {"name": "warren-unrouted", "type": "fanout", "queues": ["warren-parked"]},
    {"name": "celery_delayed_0", "type": "topic"},
]
# Each needs another spelling in an address.
OLD, NEW = "/shop eu", "/shop eu-quorum"


def told(queues, connections=()):
    return json.dumps({"queues": queues, "connections": connections})


def queue(name, messages, durable=True):
    return {"name": name, "messages": messages, "durable": durable}


def test_what_is_left_is_said():
    client = {"vhost": OLD, "user": "worker-1a2b", "peer_host": "198.51.100.7"}
    queues = [queue("mail", 3), queue("default", 0), queue("celeryev.1", 9, durable=False), queue("gone", None)]
    queues += [queue(f"{DELAYS}{level}", level) for level in (0, 1, 2)]
    assert left_behind(told(queues, [client, client, client | {"vhost": NEW}]), OLD) == [
        "3 tasks in mail",
        "3 tasks before their time",
        "2 connections of worker-1a2b by 198.51.100.7",
    ]
    assert left_behind(told([queue("mail", 0)], [client]), NEW) == []


def test_tasks_without_a_queue_to_move_to_are_said():
    queues = [
        queue("mail", 3),
        queue("former", 2),
        queue("empty", 0),
        queue(f"{DELAYS}3", 1),
        queue("x", 5, durable=False),
    ]
    assert homeless(told(queues), EXCHANGES) == ["2 tasks in former"]


def definitions(broker):
    return json.loads(broker.ctl("export_definitions", "-"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running_rabbitmq(tmp_path_factory.mktemp("moved"), free_port()) as broker:
        enabled = broker.run("rabbitmq-plugins", "--quiet", "enable", "rabbitmq_shovel")
        assert enabled.returncode == 0, enabled.stdout + enabled.stderr
        for vhost in (OLD, NEW):
            broker.ctl("add_vhost", vhost)
            broker.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
            with connected(broker, vhost) as connection:
                for exchange in EXCHANGES[:2]:
                    of = Exchange(exchange["name"], type=exchange["type"], durable=True)
                    for name in exchange["queues"]:
                        kind = {"x-queue-type": "quorum"} if vhost == NEW else {}
                        Queue(name, of, routing_key=name, durable=True, queue_arguments=kind)(connection).declare()
        yield broker


def connected(broker, vhost):
    return Connection(hostname="127.0.0.1", port=broker.port, virtual_host=vhost, transport="pyamqp")


def move(broker, source, target):
    """Have the broker move what is there; returns how many shovels that took."""
    lacking = shovels(definitions(broker), source, target, EXCHANGES)
    if lacking:
        done = broker.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacking))
        assert done.returncode == 0, done.stdout + done.stderr
    return len(lacking.get("parameters", []))


def take(broker, vhost, name):
    """The messages of a queue, as bodies and properties."""
    found = []
    with connected(broker, vhost) as connection:
        channel = connection.default_channel
        while message := channel.basic_get(name, no_ack=True):
            properties = {key: message.properties.get(key) for key in ("correlation_id", "reply_to", "delivery_mode")}
            found.append((message.body, message.headers["n"], properties))
    return found


@pytest.mark.lengthy
def test_all_messages_move_with_what_is_said_of_them_and_back(broker):
    said = {"correlation_id": "of-the-task", "reply_to": "somebody", "delivery_mode": 2}
    with connected(broker, OLD) as connection:
        producer = Producer(connection.default_channel)
        for name in ("default", "mail", "warren-parked"):
            for number in range(300):
                producer.publish(name, routing_key=name, headers={"n": number}, **said)
    assert move(broker, OLD, NEW) == 3
    # A second run of the playbook finds them.
    assert move(broker, OLD, NEW) == 0
    listed = ("list_queues", "--no-table-headers", "-p", OLD, "messages")
    until(lambda: broker.ctl(*listed).split() == ["0"] * 3)
    for name in ("default", "mail"):
        assert sorted(take(broker, NEW, name), key=lambda one: one[1]) == [(name, n, said) for n in range(300)]
    for name in other_shovels(definitions(broker), NEW):
        broker.ctl("clear_parameter", "-p", NEW, "shovel", name)
    assert other_shovels(definitions(broker), NEW) == []
    # What is parked waits there still, and goes back.
    assert move(broker, NEW, OLD) == 3
    until(lambda: len(take(broker, OLD, "warren-parked")) == 300)


@pytest.mark.lengthy
def test_a_full_queue_takes_the_rest_later(broker):
    """It refuses what is too much, which stays where it is."""
    bound = json.dumps({"max-length": 5, "overflow": "reject-publish"})
    broker.ctl("set_policy", "-p", NEW, "bound", "^mail$", bound, "--apply-to", "queues")
    for name in other_shovels(definitions(broker), OLD):
        broker.ctl("clear_parameter", "-p", OLD, "shovel", name)
    with connected(broker, OLD) as connection:
        producer = Producer(connection.default_channel)
        for number in range(40):
            producer.publish("mail", routing_key="mail", headers={"n": number}, delivery_mode=2)
    move(broker, OLD, NEW)
    found = []
    until(lambda: found.extend(take(broker, NEW, "mail")) or len({number for _, number, _ in found}) == 40)
    assert sorted(number for _, number, _ in found) == list(range(40))


def test_nothing_moves_where_there_is_nothing(broker):
    assert shovels(definitions(broker), "nowhere", NEW, EXCHANGES) == {}
