"""Which roles a host has, by the table of parts."""

import pytest
from parts import parts_of

PARTS = [
    {"role": "host", "group": "all", "has": ["health", "status"]},
    {"role": "exporter", "group": "all", "where": False, "has": ["health"]},
    {"role": "haproxy", "group": "haproxy", "has": ["health"]},
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
