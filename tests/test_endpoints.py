"""What the wiring knows of other hosts is read from the inventory, and of each host no more than is asked for."""

import endpoints
import pytest
from ansible.errors import AnsibleFilterError

GROUPS = {"all": ["mq1", "w1", "w2"], "rabbitmq": ["mq1"], "celery": ["w2", "w1"], "redis": []}
HOSTVARS = {
    "mq1": {"cluster_address": "192.0.2.1"},
    "w1": {"cluster_address": "192.0.2.2", "cluster_c_publisher": True},
    "w2": {"cluster_address": "192.0.2.3", "cluster_c_publisher": False},
}


@pytest.mark.parametrize(
    ("group", "found"),
    [
        ("rabbitmq", {"mq1": "192.0.2.1"}),
        ("celery", {"w2": "192.0.2.3", "w1": "192.0.2.2"}),
        ("redis", {}),
        ("no such group", {}),
    ],
)
def test_the_hosts_of_a_group_have_addresses_in_the_inventorys_order(group, found):
    assert list(endpoints.addresses(GROUPS, group, HOSTVARS).items()) == list(found.items())
    assert endpoints.host_values(GROUPS, group, HOSTVARS, "cluster_address") == list(found.values())


def test_any_variable_can_be_asked_for():
    assert endpoints.host_values(GROUPS, "celery", HOSTVARS, "cluster_c_publisher") == [False, True]


@pytest.mark.parametrize(
    ("group", "given", "found"),
    [
        ("celery", True, True),
        ("celery", False, False),
        ("celery", "yes", True),
        ("celery", "no", False),
        ("redis", True, False),
    ],
)
def test_a_variable_is_true_on_any_host_of_a_group(group, given, found):
    hostvars = HOSTVARS | {"w1": {"cluster_c_publisher": given}}
    assert endpoints.any_host(GROUPS, group, hostvars, "cluster_c_publisher") is found


def test_each_pool_is_named_once():
    hostvars = {"w1": {"programs": [{"pool": "gevent"}, {}]}, "w2": {"programs": [{}, {"pool": "solo"}]}}
    assert endpoints.pools(GROUPS, "celery", hostvars, "programs") == ["prefork", "solo", "gevent"]
    assert endpoints.pools(GROUPS, "redis", hostvars, "programs") == []


def test_each_worker_program_has_the_name_that_celery_has_for_it():
    hostvars = {"w1": {"programs": [{"name": "a"}, {"name": "b"}]}, "w2": {"programs": [{"name": "a"}]}}
    assert endpoints.worker_nodes(GROUPS, "celery", hostvars, "programs") == ["a@w2", "a@w1", "b@w1"]
    assert endpoints.worker_nodes(GROUPS, "redis", hostvars, "programs") == []


def test_a_host_without_an_address_is_named():
    hostvars = {"mq1": {"cluster_address": "192.0.2.1"}, "w1": {}, "w2": {"cluster_addres": "192.0.2.3"}}
    with pytest.raises(AnsibleFilterError, match="Set `cluster_address` of w1, w2 in the inventory"):
        endpoints.addresses(GROUPS, "all", hostvars)


class Untemplated(dict):
    """Variables of which only one may be read: each read templates it."""

    def __getitem__(self, name):
        assert name == "cluster_address"
        return super().__getitem__(name)


def test_only_the_variable_and_the_hosts_in_question_are_read():
    hostvars = {"mq1": Untemplated(cluster_address="192.0.2.1", secret="x")}
    assert endpoints.addresses(GROUPS, "rabbitmq", hostvars) == {"mq1": "192.0.2.1"}


@pytest.mark.parametrize("port", [5672, "5672"])
def test_a_port_is_joined_to_each_address(port):
    assert endpoints.endpoints(["192.0.2.1", "192.0.2.2"], port) == ["192.0.2.1:5672", "192.0.2.2:5672"]
    assert endpoints.targets({"w2": "192.0.2.3", "w1": "192.0.2.2"}, port) == {
        "w2": "192.0.2.3:5672",
        "w1": "192.0.2.2:5672",
    }
    assert endpoints.endpoints([], port) == []
    assert endpoints.targets({}, port) == {}
