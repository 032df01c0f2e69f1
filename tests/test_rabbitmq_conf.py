"""Where a broker listens: with TLS, without, and while clients move from one to the other."""

import re

import jinja2
import pytest
import yaml
from kit import PROJECT

ROLE = PROJECT / "roles/rabbitmq"
TLS = {"authority": "/ca.crt", "certificate": "/host.crt", "key": "/host.key", "group": "tls"}


def rendered(name="rabbitmq.conf", is_4=False, **inputs):
    """The lines of a template, of what has the given inputs and else the defaults."""
    text = (ROLE / f"templates/{name}.j2").read_text()
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    template = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(text)
    given = {"rabbitmq_nodes": ["mq1"], "rabbitmq_node_host": "mq1", "ansible_managed": "", "__rabbitmq_is_4": is_4}
    return template.render(defaults | given | inputs).splitlines()


def listeners(**inputs):
    """The lines of rabbitmq.conf about ports."""
    lines = rendered(**inputs)
    return [line for line in lines if re.match(r"listeners|(prometheus|management)\.\w+\.(port|listener)", line)]


PLAIN, TLS_ONLY = "listeners.tcp.default = 5672", ["listeners.tcp = none", "listeners.ssl.default = 5671"]
HTTP, HTTPS = ["prometheus.tcp.port = 15692"], ["prometheus.ssl.port = 15692", "management.ssl.port = 15672"]


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({}, [PLAIN, *HTTP]),
        ({"rabbitmq_tls": TLS}, [*TLS_ONLY, *HTTPS]),
        ({"rabbitmq_tls": TLS, "rabbitmq_tls_moves": True}, [PLAIN, TLS_ONLY[1], *HTTPS]),
    ],
)
def test_a_broker_listens_where_its_clients_are(inputs, wanted):
    assert listeners(**inputs) == wanted


def test_rabbitmq_4_has_one_listener_for_metrics():
    """It would have another one for HTTP, on the same port."""
    assert listeners(is_4=True, rabbitmq_tls=TLS) == [*TLS_ONLY, "prometheus.tcp.listener = none", *HTTPS]
    assert listeners(is_4=True) == [PLAIN, "prometheus.tcp.listener = 0.0.0.0:15692"]
    there = listeners(is_4=True, rabbitmq_bind="192.0.2.7")
    assert there == ["listeners.tcp.default = 192.0.2.7:5672", "prometheus.tcp.listener = 192.0.2.7:15692"]


def test_metrics_stay_plain_while_clients_leave_tls():
    """Prometheus reads them without TLS as soon as the inventory says so."""
    found = listeners(rabbitmq_tls=TLS, rabbitmq_tls_moves=True, rabbitmq_pages_tls=False)
    assert found == [PLAIN, TLS_ONLY[1], *HTTP]


def test_nodes_are_set_up_for_quorum_queues():
    classic, quorum = (rendered(rabbitmq_quorum_queues=quorum) for quorum in (False, True))
    assert [line for line in classic if line not in quorum] == ["queue_master_locator = min-masters"]
    settings = [line for line in quorum if line not in classic and line and not line.startswith("#")]
    assert settings == ["queue_leader_locator = balanced", "raft.wal_max_size_bytes = 64000000"]
    before, after = ("".join(rendered("rabbitmq-env.conf", rabbitmq_quorum_queues=quorum)) for quorum in (False, True))
    assert "-aten poll_interval 1000" in after and "-aten" not in before
