"""The firewall's ports follow from the table of ports, and its lines from them."""

import importlib.util

import kit
import pytest
from kit import PROJECT

SPEC = importlib.util.spec_from_file_location("firewall_filter", PROJECT / "plugins/filter/firewall.py")
firewall = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(firewall)

PORTS = kit.kit_variables("ports")
CLIENTS = {name: [f"198.51.100.{number}"] for number, name in enumerate(PORTS["kit_port_clients"], 1)}

MENTIONED = {row[key] for row in PORTS["kit_ports"] for key in ("input", "address", "given") if key in row}


def values(**more):
    """What the variables of the table are on a host."""
    numbers = kit.kit_variables("cluster")
    known = {"wiring_listens_plain": True, "wiring_listens_tls": False}
    found = {name: numbers[name] if name.endswith("_port") else "192.0.2.5" for name in MENTIONED}
    return found | known | more


def opened(roles, **more):
    found = firewall.open_ports(PORTS["kit_ports"], roles, values(**more), CLIENTS)
    return {one["port"]: one["clients"] for one in found}


def test_a_port_is_open_to_the_clients_of_the_table():
    assert opened(["host", "flower"]) == {
        22: CLIENTS["everyone"],
        5555: sorted(CLIENTS["monitors"] + CLIENTS["admins"]),
    }
    assert opened(["redis"])[6379] == CLIENTS["project"]
    assert opened(["rabbitmq"]) == {
        5672: CLIENTS["broker_clients"],
        15692: CLIENTS["monitors"],
        4369: CLIENTS["brokers"],
        25672: CLIENTS["brokers"],
        15672: CLIENTS["admins"],
    }
    encrypted = opened(["rabbitmq"], wiring_listens_plain=False, wiring_listens_tls=True)
    assert encrypted[5671] == CLIENTS["broker_clients"]
    assert 5672 not in encrypted


def test_a_port_has_the_inventorys_number():
    assert list(opened(["haproxy"], cluster_amqp_port=5673, cluster_haproxy_stats_port=8405)) == [5673, 8405]
    assert 9500 in opened(["exporter", "redis"], cluster_redis_exporter_port=9499)


def test_a_port_that_only_its_host_reaches_is_not_opened():
    assert 5672 not in opened(["haproxy"], wiring_haproxy_addresses=["127.0.0.1"])
    # epmd has a loopback and the host's address.
    assert 4369 in opened(["rabbitmq"], wiring_epmd_addresses=["127.0.0.1", "192.0.2.5"])
    # None means all.
    assert 5672 in opened(["rabbitmq"], rabbitmq_bind="")


def test_the_wiring_gives_what_the_table_mentions():
    given = kit.kit_variables("wiring")["wiring_port_values"]
    assert given == {name: f"{{{{ {name} }}}}" for name in MENTIONED}


def test_every_client_of_the_table_has_words_and_addresses():
    wiring = kit.kit_variables("wiring")["wiring_port_clients"]
    named = {name for row in PORTS["kit_ports"] for name in row["clients"]}
    assert named == PORTS["kit_port_clients"].keys() == wiring.keys()


@pytest.mark.parametrize(
    ("port", "lines"),
    [
        ({"port": 5672, "clients": ["192.0.2.5"]}, ["ip saddr { 192.0.2.5 } tcp dport 5672 accept"]),
        ({"port": 22, "clients": ["0.0.0.0/0"]}, ["meta nfproto ipv4 tcp dport 22 accept"]),
        (
            {"port": 22, "clients": ["0.0.0.0/0", "::/0", "192.0.2.5"]},
            ["meta nfproto ipv4 tcp dport 22 accept", "meta nfproto ipv6 tcp dport 22 accept"],
        ),
        (
            {"port": 53, "protocol": "udp", "clients": ["192.0.2.0/24", "192.0.2.5", "2001:db8::5"]},
            ["ip saddr { 192.0.2.0/24 } udp dport 53 accept", "ip6 saddr { 2001:db8::5 } udp dport 53 accept"],
        ),
        ({"protocol": "vrrp", "clients": ["192.0.2.5"]}, ["ip saddr { 192.0.2.5 } ip protocol 112 accept"]),
        (
            {"port": 35672, "last_port": 35682, "clients": ["192.0.2.5"]},
            ["ip saddr { 192.0.2.5 } tcp dport 35672-35682 accept"],
        ),
        ({"port": 5555, "clients": []}, []),
    ],
)
def test_the_lines_of_a_port(port, lines):
    assert firewall.firewall_lines([port | {"what": "a test"}]) == ["# a test", *lines]
