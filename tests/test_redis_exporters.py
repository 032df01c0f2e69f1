"""Prometheus asks each instance's exporter where that one listens."""

import redis_exporters

INSTANCES = [{"name": "results", "port": 6379}, {"name": "locks", "port": "6380"}]


def test_each_instance_has_an_exporter():
    assert redis_exporters.redis_exporters(INSTANCES, "192.0.2.7", "9121", "s3cret") == [
        {
            "name": "redis-results",
            "package": "redis",
            "address": "192.0.2.7:9121",
            "arguments": [
                "--redis.addr=redis://192.0.2.7:6379",
                "--redis.user=monitor",
                "--config-command=-",
                "--redis.password-file=/etc/default/prometheus-redis-results-exporter.json",
            ],
            "passwords": {"redis://192.0.2.7:6379": "s3cret", "redis://monitor@192.0.2.7:6379": "s3cret"},
        },
        {
            "name": "redis-locks",
            "package": "redis",
            "address": "192.0.2.7:9122",
            "arguments": [
                "--redis.addr=redis://192.0.2.7:6380",
                "--redis.user=monitor",
                "--config-command=-",
                "--redis.password-file=/etc/default/prometheus-redis-locks-exporter.json",
            ],
            "passwords": {"redis://192.0.2.7:6380": "s3cret", "redis://monitor@192.0.2.7:6380": "s3cret"},
        },
    ]


def test_with_an_authority_the_exporter_verifies_the_instance():
    exporter, _ = redis_exporters.redis_exporters(INSTANCES, "192.0.2.7", 9121, "s3cret", "/etc/ssl/warren/ca.crt")
    assert exporter["arguments"][0] == "--redis.addr=rediss://192.0.2.7:6379"
    assert exporter["arguments"][-1] == "--tls-ca-cert-file=/etc/ssl/warren/ca.crt"
    # The exporter looks for the very URL.
    assert list(exporter["passwords"]) == ["rediss://192.0.2.7:6379", "rediss://monitor@192.0.2.7:6379"]


def test_the_password_is_no_argument_of_a_process():
    for exporter in redis_exporters.redis_exporters(INSTANCES, "192.0.2.7", 9121, "s3cret"):
        assert not any("s3cret" in argument for argument in exporter["arguments"])


def test_targets_are_where_the_exporters_listen():
    addresses = {"mon1": "192.0.2.7", "mon2": "192.0.2.8"}
    found = redis_exporters.redis_targets(addresses, INSTANCES, 9121)
    assert list(found) == ["mon1 results", "mon1 locks", "mon2 results", "mon2 locks"]
    assert list(found.values()) == [
        exporter["address"]
        for address in addresses.values()
        for exporter in redis_exporters.redis_exporters(INSTANCES, address, 9121, "s3cret")
    ]


def test_without_redis_there_is_nothing_to_ask():
    assert redis_exporters.redis_targets({}, INSTANCES, 9121) == {}
    assert redis_exporters.redis_exporters([], "192.0.2.7", 9121, "s3cret") == []
