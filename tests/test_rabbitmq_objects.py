"""The filter that finds what a RabbitMQ cluster lacks, and a real RabbitMQ that imports it."""

import json

import pytest
from rabbitmq_objects import password_matches as matches
from rabbitmq_objects import rabbitmq_objects_to_import

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


CELERY = {"name": "celery", "password": "p w'\"$", "configure": "^c$", "write": "^w$", "read": "^r$"}
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
        ([CELERY], [POLICY, POLICY | {"name": "second"}], {"policies": ["second"]}),
    ],
)
def test_only_what_differs_is_imported_and_then_it_is_as_wanted(filled, users, policies, lacking):
    lacks = imported(filled, users, policies)
    assert {kind: [one.get("name", one.get("read")) for one in of_kind] for kind, of_kind in lacks.items()} == lacking
    assert rabbitmq_objects_to_import(exported(filled), "shop", users, policies) == {}


def test_no_password_is_in_what_is_imported_and_the_salt_is_another_each_time():
    none = {"users": [], "vhosts": [], "permissions": [], "policies": []}
    first, second = (rabbitmq_objects_to_import(none, "shop", [CELERY], [POLICY]) for _ in range(2))
    assert first.keys() == {"vhosts", "users", "permissions", "policies"}
    assert CELERY["password"] not in str(first)
    assert first["users"] != second["users"]
