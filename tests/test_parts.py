"""Which roles a host has, by the table of parts, and what they answered."""

import pytest
from parts import answers_of, packages_of, parts_of

PARTS = [
    {"role": "host", "group": "all", "has": ["health", "status"]},
    {"role": "exporter", "group": "all", "where": False, "has": ["health"]},
    {"role": "haproxy", "group": "haproxy", "has": ["health"], "status_shows_health": True},
    {"role": "keepalived", "group": "haproxy", "where": True, "has": ["preflight", "health"]},
]


@pytest.mark.parametrize(
    ("groups", "file", "roles"),
    [
        ([], "", ["host"]),
        (["haproxy", "shop"], "", ["host", "haproxy", "keepalived"]),
        (["haproxy"], "preflight", ["keepalived"]),
        (["haproxy"], "status", ["host"]),
    ],
)
def test_a_host_has_the_roles_of_its_groups_in_the_tables_order(groups, file, roles):
    assert parts_of(PARTS, groups, file) == roles


def test_a_host_has_the_packages_of_its_parts():
    parts = [
        *PARTS,
        {"role": "redis", "group": "redis", "packages": ["redis-server", "all"]},
        {"role": "rabbitmq", "group": "all", "packages": ["rabbitmq-server"]},
        {"role": "web", "group": "all", "where": False, "packages": ["nginx"]},
    ]
    assert packages_of(parts, ["redis"]) == ["all", "rabbitmq-server", "redis-server"]
    assert packages_of(parts, []) == ["rabbitmq-server"]


def test_health_need_not_be_asked_where_status_has_shown_it():
    assert parts_of(PARTS, ["haproxy"], "health") == ["host", "haproxy", "keepalived"]
    assert parts_of(PARTS, ["haproxy"], "health", shown=False) == ["host", "keepalived"]


def test_a_host_that_gives_no_answer_gives_none_for_each_part():
    said = {"answers": {"host": {"rc": 0}}, "asked": 1.0}
    assert answers_of(said, PARTS) == {"host": {"rc": 0}}
    late = {"failed": True, "timedout": {"period": 25}, "msg": "Timed out"}
    assert answers_of(late, PARTS) == {"host": late}
