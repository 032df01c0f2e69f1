"""The filter that finds what a RabbitMQ cluster lacks, and a real RabbitMQ that imports it."""

import json
from urllib.parse import quote

import pytest
from amqp.exceptions import AMQPError, NotAllowed
from kombu import Connection, Exchange, Producer, Queue
from rabbitmq import url_of
from rabbitmq_objects import password_matches as matches
from rabbitmq_objects import rabbitmq_objects_to_import
from shop_project import until

# The example of RabbitMQ's own documentation: salt 908DC60A, password test12.
DOCUMENTED = {
    "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
    "hashing_algorithm": "rabbit_password_hashing_sha256",
}


def test_the_right_password_matches_and_no_other():
    assert matches(DOCUMENTED, "test12")
    assert not matches(DOCUMENTED, "test13")
    assert not matches(DOCUMENTED, "")


@pytest.mark.parametrize(
    "user", [{}, DOCUMENTED | {"password_hash": ""}, DOCUMENTED | {"hashing_algorithm": "of_the_future"}]
)
def test_a_user_without_a_password_that_is_understood_does_not(user):
    assert not matches(user, "test12")
    assert not matches(user, "")


CELERY = {"name": "celery", "password": "p w'\"$", "configure": "^c", "write": "^w$", "read": "^r$"}
PAGE = {"name": "page", "password": "other", "tags": ["monitoring"], "configure": "^$", "write": "^$", "read": "^$"}
POLICY = {"name": "ha", "pattern": "^(a|b)$", "priority": 10, "definition": {"ha-mode": "all", "max-length": 5}}


def exported(broker):
    return json.loads(broker.run("rabbitmqctl", "--quiet", "export_definitions", "-").stdout)


def imported(broker, users, policies, vhost="shop"):
    """Import what the broker lacks; returns that."""
    lacks = rabbitmq_objects_to_import(exported(broker), vhost, users, policies)
    done = broker.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacks))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return lacks


@pytest.fixture
def filled(broker):
    """A broker with all of it."""
    imported(broker, [CELERY, PAGE], [POLICY])
    return broker


def test_a_broker_that_has_everything_lacks_nothing(filled):
    assert rabbitmq_objects_to_import(exported(filled), "shop", [CELERY, PAGE], [POLICY]) == {}
    for user in (CELERY, PAGE):
        done = filled.run("rabbitmqctl", "--quiet", "authenticate_user", user["name"], text=user["password"] + "\n")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("users", "policies", "lacking"),
    [
        ([CELERY | {"password": "new"}, PAGE], [POLICY], {"users": ["celery"]}),
        ([CELERY | {"tags": ["management"]}, PAGE], [POLICY], {"users": ["celery"]}),
        ([CELERY, PAGE | {"tags": []}], [POLICY], {"users": ["page"]}),
        ([CELERY | {"read": "^more$"}], [POLICY], {"permissions": ["^more$"]}),
        ([CELERY], [POLICY | {"priority": 11}], {"policies": ["ha"]}),
        ([CELERY], [POLICY | {"definition": {"ha-mode": "all"}}], {"policies": ["ha"]}),
        ([CELERY, PAGE | {"max_connections": 2}], [POLICY], {"users": ["page"]}),
        ([CELERY], [POLICY, POLICY | {"name": "second"}], {"policies": ["second"]}),
    ],
)
def test_only_what_differs_is_imported_and_then_it_is_as_wanted(filled, users, policies, lacking):
    lacks = imported(filled, users, policies)
    assert {kind: [one.get("name", one.get("read")) for one in of_kind] for kind, of_kind in lacks.items()} == lacking
    assert rabbitmq_objects_to_import(exported(filled), "shop", users, policies) == {}


def test_no_password_is_in_what_is_imported_and_the_salt_is_another_each_time():
    kinds = ("users", "vhosts", "permissions", "policies", "parameters", "queues", "exchanges", "bindings")
    none = {kind: [] for kind in kinds}
    first, second = (rabbitmq_objects_to_import(none, "shop", [CELERY], [POLICY]) for _ in range(2))
    assert first.keys() == {"vhosts", "users", "permissions", "policies"}
    assert CELERY["password"] not in str(first)
    assert first["users"] != second["users"]


QUEUES = [{"name": "mail", "max_priority": 3}, {"name": "left"}, {"name": "sms", "max_priority": 0}]
EXCHANGES = [
    {"name": "tasks", "type": "topic", "alternate": "unrouted", "queues": ["mail", "sms"]},
    {"name": "unrouted", "type": "fanout", "alternate": "", "queues": ["left"]},
]


def test_queues_and_exchanges_are_made_as_clients_declare_them(filled):
    def lacks(queues=QUEUES, exchanges=EXCHANGES):
        return rabbitmq_objects_to_import(exported(filled), "shop", [CELERY, PAGE], [POLICY], queues, exchanges)

    done = filled.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacks()))
    assert (done.returncode, done.stderr) == (0, "")
    assert lacks() == {}
    # One that exists stays as it is, whatever is wanted now; preflight has refused that.
    assert lacks([{"name": "mail", "max_priority": 5}]) == {}
    assert {kind: len(found) for kind, found in lacks([*QUEUES, {"name": "new"}]).items()} == {"queues": 1}
    bound = [EXCHANGES[0] | {"queues": ["mail", "left"]}]
    assert [one["destination"] for one in lacks(exchanges=bound)["bindings"]] == ["left"]
    filled.ctl("set_permissions", "-p", "shop", "guest", ".*", ".*", ".*")
    with Connection(url_of(filled.port)[0].rstrip("/") + "/shop") as connection:
        channel = connection.default_channel
        unrouted = Exchange("unrouted", "fanout")
        tasks = Exchange("tasks", "topic", arguments={"alternate-exchange": "unrouted"})
        Queue("mail", tasks, routing_key="mail", max_priority=3)(channel).declare()
        Queue("left", unrouted)(channel).declare()
        for key in ("mail", "nowhere"):
            Producer(channel).publish(key, exchange="tasks", routing_key=key)
        until(lambda: [Queue(name)(channel).queue_declare(passive=True)[1] for name in ("mail", "left")] == [1, 1])


def test_a_user_has_so_many_connections_and_a_virtual_host_so_many_queues(filled):
    few = CELERY | {"max_connections": 2}

    def lacks(most):
        return rabbitmq_objects_to_import(exported(filled), "shop", [few, PAGE], [POLICY], max_queues=most)

    url = f"pyamqp://celery:{quote(CELERY['password'])}@127.0.0.1:{filled.port}/shop"
    done = filled.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacks(1)))
    assert (done.returncode, done.stderr) == (0, "")
    assert lacks(1) == {}
    assert list(lacks(2)) == ["parameters"]
    with Connection(url) as one, Connection(url) as two, Connection(url) as three:
        one.connect()
        two.connect()
        with pytest.raises(NotAllowed, match="user connection limit"):
            three.connect()
        with pytest.raises(AMQPError, match="limit"):
            for name in ("c", "c-reply"):
                one.default_channel.queue_declare(name)
    filled.ctl("clear_vhost_limits", "-p", "shop")
