"""Whatever an inventory holds, preflight says what is wrong in sentences: no traceback, no error of Ansible's alone."""

import json
import string
import sys

import kit
import pytest
import test_preflight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.append(str(kit.PROJECT / "plugins/module_utils"))

from warren import inventory_rules, kinds, roles

SPECS = kit.kit_variables("inputs")["kit_inputs"]
ROLES = sorted({part["role"] for part in kit.PARTS})
GROUPS = ["rabbitmq", "haproxy", "redis", "postgresql", "celery_workers", "celery_publishers", "celery_beat", "web"]
OPTIONS = sorted(name for role in ROLES for name in roles.options_of(role))
EXPRESSIONS = st.sampled_from(
    ["{{ nowhere }}", "{{ 1 // 0 }}", "{{ [] | first }}", "{{ 'x'", "{% if %}", "{{ groups }}"]
)
TEXTS = st.text(string.printable, max_size=12)
NUMBERS = st.one_of(st.booleans(), st.integers(-10, 10**7), st.floats(allow_nan=False))
KEYS = st.sampled_from(["name", "queues", "routes", "task", "max_priority", "pool", "concurrency", "port", "relative"])
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS, EXPRESSIONS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
HOSTS = st.sampled_from(["mq1", "mq2", "lb1", "lb2", "w1", "w2", "all1", "mon1.example.com", "10.0.0.7", "a b"])
SOME_HOSTS = st.lists(HOSTS, max_size=3, unique=True)
# What would change where the kit, its secrets and its files are.
FACTS = st.sampled_from(sorted(SPECS.keys() - {"cluster_foreign_variables"}))


# The same examples each time, so that CI does not fail by chance; take `derandomize` out to look for more.
@settings(max_examples=500, deadline=None, derandomize=True)
@given(name=FACTS, value=VALUES)
def test_any_value_of_a_fact_is_right_or_a_sentence(name, value):
    spec = SPECS[name]
    of = spec.get("kinds", {}) | ({"": spec["kind"]} if "kind" in spec else {})
    if "like" in spec:
        of, spec = roles.kinds_of(spec["role"], spec["like"]), roles.options_of(spec["role"])[spec["like"]]
    for where, _, fault in kinds.faults(name, value, spec, of):
        assert f"`{name}`" in where
        assert fault.give or fault.says


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    groups=st.dictionaries(st.sampled_from([*GROUPS, "brokers", "celery_worker"]), SOME_HOSTS),
    addresses=st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "127.0.0.1"]), min_size=10, max_size=10),
    vip=st.sampled_from(["", "192.0.2.1", "192.0.2.9"]),
)
def test_any_groups_and_addresses_are_right_or_a_sentence(groups, addresses, vip):
    hosts = list(dict.fromkeys(host for of_group in groups.values() for host in of_group))
    inventory = inventory_rules.Inventory(
        groups=groups | {"all": hosts},
        kit_groups=["all", "ungrouped", *GROUPS],
        parts=kit.PARTS,
        values={
            host: {"cluster_vip": vip, "cluster_address": address}
            for host, address in zip(hosts, addresses, strict=False)
        },
    )
    for problem in inventory_rules.problems(inventory):
        assert problem.text.endswith(".")


@pytest.fixture(scope="module")
def ask():
    """The process that checks inventories."""
    with test_preflight.checking() as asked:
        yield asked


# About a second each.
@pytest.mark.lengthy
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    hosts=st.dictionaries(st.sampled_from(GROUPS), SOME_HOSTS, min_size=2),
    facts=st.dictionaries(FACTS, VALUES, max_size=3),
    inputs=st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=3),
    more=st.dictionaries(st.sampled_from(["shop_x", "cluster_vpi", "ansible_host"]), VALUES, max_size=1),
)
def test_any_inventory_is_right_or_some_sentences(ask, tmp_path_factory, hosts, facts, inputs, more):
    folder = tmp_path_factory.mktemp("any")
    children = {group: {"hosts": {host: {} for host in of_group}} for group, of_group in hosts.items()}
    inventory = {"shop": {"children": children, "vars": facts | inputs | more}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    if not any(hosts.values()):
        return
    for sentence in ask({"files": [str(folder / "hosts.json")], "extra": {"secrets_dir": str(folder / "secrets")}}):
        assert sentence.endswith("."), sentence
        assert "Traceback" not in sentence
        assert " object " not in sentence
