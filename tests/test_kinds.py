"""Each kind of value refuses its wrong example, and says what to give; types are never converted."""

import sys

import kit
import pytest

sys.path.append(str(kit.PROJECT / "plugins/module_utils"))

from warren import kinds, roles

ROLES = sorted(path.parents[1].name for path in (kit.PROJECT / "roles").glob("*/vars/rules.yml"))
GOOD = {
    "address": ["192.0.2.1", "2001:db8::1"],
    "bind": ["192.0.2.1", "shop.example.com"],
    "broker_size": ["512MB", "2GB", "1500MiB"],
    "calendar": ["Mon 03:00", "*-*-* 04:00:00", "daily", "Mon..Fri *-*-* 03:00:00 Europe/Berlin", "sunday"],
    "command": ["gunicorn shop.wsgi", "a\nb"],
    "database": ["shop", "shop-eu", "shop_2024", "_x"],
    "endpoint": ["198.51.100.51:9093", "alerts.example.com:80"],
    "folder_name": ["shop", "Shop-2.0"],
    "host_name": ["mq1", "broker.example.com", "Rabbit-1"],
    "glob": ["shop.tasks.pay", "shop.*", "*", "shop.[ab]*"],
    "interface": ["eth0", "enp1s0.100"],
    "interpreter": ["python3", "/opt/python3.12/bin/python3.12"],
    "ipv4": ["192.0.2.11", "10.0.0.1"],
    "line": ["", "--logfile=a b"],
    "mirrors": ["all", 2, 3],
    "module": ["shop", "shop.celery", "shop.celery:app"],
    "network": ["192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1", "::/0"],
    "package": ["libpq5", "python3.11-venv", "libstdc++6", "gcc=4:12.2.0-3"],
    "path": ["/usr/bin/python3", "/"],
    "plugin": ["rabbitmq_prometheus"],
    "port": [1, 5672, 65535],
    "program": ["default", "mail_out", "a.b-c", "2024"],
    "queue": ["default", "mail.out", "celery", "2024"],
    "queues": [["default"], ["default", "slow"]],
    "redis_size": ["1mb", "256mb", "4gb", "64MB"],
    "requirement": ["gunicorn", "celery[redis]==5.6.3", 'x; platform_machine == "x86_64"'],
    "route": ["shop.*", {"task": "shop.pay", "priority": 5}],
    "setting": ["task_acks_late"],
    "task": ["shop.tasks.pay"],
    "text": ["a", "python -m django migrate --no-input"],
    "time_zone": ["Etc/UTC", "Europe/Berlin"],
    "url": ["http://192.0.2.1:8000/healthz"],
    "url_path": ["/", "/healthz?full=1"],
    "url_prefix": ["flower", "ops/flower"],
    "value": ["", "x y", "one\ntwo", 5, 0.5],
    "variable": ["SHOP_KEY", "_x1"],
    "vhost": ["/", "warren", "eu/shop"],
}


@pytest.mark.parametrize("name", kinds.KINDS)
def test_a_kind_refuses_its_wrong_example_and_takes_good_ones(name):
    assert kinds.fault_of(name, kinds.KINDS[name].wrong).give
    assert [value for value in GOOD[name] if kinds.fault_of(name, value)] == []


@pytest.mark.parametrize("value", [None, [], {}, True, object()])
@pytest.mark.parametrize("name", kinds.KINDS)
def test_a_kind_refuses_what_is_no_text(name, value):
    assert kinds.fault_of(name, value)


@pytest.mark.parametrize(
    ("bounds", "value", "refused"),
    [
        ({"from": 1, "to": 5}, 0, True),
        ({"from": 1, "to": 5}, 1, False),
        ({"from": 1, "to": 5}, 5, False),
        ({"from": 1, "to": 5}, 6, True),
        ({"from": 1, "to": 5}, True, True),
        ({"from": 1, "to": 5}, "3", True),
        ({"from": 0.05, "to": 0.9}, 0.4, False),
        ({"kind": "ipv4", "or": ""}, "", False),
        ({"kind": "ipv4", "or": ""}, "x", True),
    ],
)
def test_bounds_and_one_more_value(bounds, value, refused):
    assert bool(kinds.fault_of(bounds, value)) == refused


@pytest.mark.parametrize(
    ("wanted", "value", "words"),
    [
        ("int", "5672", "5672 without quotes, or after -e as `-e '{\"x\": 5672}'`"),
        ("float", "0.5", "0.5 without quotes"),
        ("bool", "no", "false without quotes"),
        ("int", "many", "a whole number"),
        ("int", 2.5, "a whole number"),
        ("int", 5.0, "a whole number"),
        ("str", True, "a text, in quotes"),
        ("str", ["a"], "a text, in quotes"),
        ("int", True, "a whole number"),
        ("bool", 1, "true or false"),
        ("list", "a,b", "a list"),
        ("list", None, "a list"),
        ("dict", "a=b", "a mapping"),
    ],
)
def test_a_wrong_type_is_refused_with_what_to_type(wanted, value, words):
    assert words in kinds.type_fault(wanted, "x", value).give


@pytest.mark.parametrize(
    ("wanted", "value"),
    [("int", 5), ("float", 5), ("float", 0.5), ("bool", False), ("list", []), ("dict", {}), ("str", 5)],
)
def test_a_right_type_passes(wanted, value):
    assert kinds.type_fault(wanted, "x", value) is None


def test_what_lies_in_an_input_is_named_by_its_entry():
    queues = [{"name": "slow", "max_priority": 1000}, {"name": "a b"}]
    found = kinds.faults(
        "x_queues", queues, {"type": "list"}, {"*.name": "queue", "*.max_priority": {"from": 0, "to": 9}}
    )
    assert sorted(where for where, _, _ in found) == [
        "`max_priority` of slow in `x_queues`",
        "`name` of entry 2 in `x_queues`",
    ]


def test_an_option_is_missing_unknown_or_nothing():
    spec = {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"required": True}, "pool": {"choices": ["solo", "gevent"]}},
    }
    found = {
        where: (fault.says, fault.give) for where, _, fault in kinds.faults("x", [{"nam": 1, "pool": None}], spec, {})
    }
    assert found == {
        "`nam` of entry 1 in `x`": ("is no option: is it `name`? There are name, pool.", ""),
        "`name` of entry 1 in `x`": ("is missing; give it a text, in quotes.", ""),
        "`pool` of entry 1 in `x`": ("", "one of solo, gevent, or leave it out"),
    }


TLS = {"type": "dict", "options": {"authority": {}, "key": {}}, "required_together": [["authority", "key"]]}


@pytest.mark.parametrize(
    ("value", "lacks"),
    [
        ({}, []),
        ({"authority": "a", "key": "k"}, []),
        ({"authority": "a"}, ["lacks `key`; leave it out, and set `cluster_tls`, or give it that as well."]),
    ],
)
def test_options_that_belong_together_are_all_there_or_none(value, lacks):
    found = list(kinds.faults("x_tls", value, TLS, {}))
    assert [(where, fault.says) for where, _, fault in found] == [("`x_tls`", says) for says in lacks]


@pytest.mark.parametrize("role", sorted({part["role"] for part in kit.PARTS}))
def test_what_has_all_that_tls_needs_or_nothing(role):
    """All of these are named alike, and no other options belong together, as the sentence names `cluster_tls`."""
    options = roles.options_of(role).items()
    tls = {name for name, of in options if name.endswith("_tls") and of["type"] == "dict"}
    assert tls == {name for name, of in options if "required_together" in of}


@pytest.mark.parametrize("role", ROLES)
def test_what_an_input_may_be_is_a_kind_or_bounds(role):
    options = roles.options_of(role)
    for path, kind in roles.values_of(role).items():
        assert path.partition(".")[0] in options
        if isinstance(kind, str) or "kind" in kind:
            assert (kind if isinstance(kind, str) else kind["kind"]) in kinds.KINDS
        else:
            assert kind["from"] < kind["to"]


@pytest.mark.parametrize("role", sorted({part["role"] for part in kit.PARTS}))
def test_every_number_has_bounds(role):
    numbers = {name for name, of in roles.options_of(role).items() if of["type"] in ("int", "float")}
    assert numbers - roles.values_of(role).keys() == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_of_a_role_are_what_its_inputs_may_be(role):
    defaults = roles.load_yaml(kit.PROJECT / "roles" / role / "defaults/main.yml") or {}
    for name, value in defaults.items():
        if not (isinstance(value, str) and "{{" in value):
            assert list(kinds.faults(name, value, roles.options_of(role)[name], roles.kinds_of(role, name))) == []


def test_every_fact_of_the_cluster_says_what_it_may_be():
    facts = {name for name in kit.kit_variables("cluster") if name.startswith("cluster_")}
    assert facts - kit.kit_variables("inputs")["kit_inputs"].keys() == {"cluster_folder", "cluster_cache_dir"}
