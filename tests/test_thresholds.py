"""What healthy means has one home, inventory/kit/thresholds.yml, from which alerts, doctor and screen have it."""

import ast
import math
import re

import kit
import pytest
import yaml
from kit import PROJECT
from warren.model import wrong_thresholds

SCRIPTS = [PROJECT / f"plugins/module_utils/warren/{name}.py" for name in ("screen", "doctor")]
OF_PROMETHEUS = yaml.safe_load((PROJECT / "roles/prometheus/defaults/main.yml").read_text())["prometheus_thresholds"]
ALERTS = (PROJECT / "roles/prometheus/templates/alerts.yml.j2").read_text()


def keys_of(path):
    """The thresholds that a script reads."""
    return {
        node.slice.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(("thresholds", "['thresholds']"))
    }


def numbers_compared(text):
    """The numbers except 0 and 1 that something in a script is compared with, also times something."""
    return {
        node.value
        for compared in ast.walk(ast.parse(text))
        if isinstance(compared, ast.Compare)
        and any(isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in compared.ops)
        for node in ast.walk(compared)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value not in (0, 1)
    }


def test_the_wiring_hands_on_each_threshold():
    wired = kit.kit_variables("wiring")["wiring_thresholds"]
    assert wired == {name: f"{{{{ cluster_threshold_{name} }}}}" for name in kit.THRESHOLDS}


def test_alone_the_role_has_the_kits_thresholds():
    assert {name: kit.THRESHOLDS[name] for name in OF_PROMETHEUS} == OF_PROMETHEUS


def test_each_threshold_is_used():
    in_alerts = set(re.findall(r"\[\[ threshold\.(\w+) \]\]", ALERTS))
    assert in_alerts == OF_PROMETHEUS.keys()
    assert in_alerts.union(*map(keys_of, SCRIPTS)) == kit.THRESHOLDS.keys()


def test_a_number_in_a_comparison_is_found():
    text = "a < 2 * b\nc[0] > 0\nlen(d) >= 1\ne > 0.8\nf = 7\ng == 200"
    assert numbers_compared(text) == {2, 0.8}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_scripts_have_no_number_of_their_own(script):
    """Neither in a comparison, nor as a constant of the module."""
    text = script.read_text()
    assert numbers_compared(text) == set()
    assert re.findall(r"^[A-Z_]+ = [\d.]+$", text, re.MULTILINE) == []


def test_the_alerts_have_no_number_of_their_own():
    """But for 0 and 1, which say whether there is any."""
    rules = yaml.safe_load(kit.alert_rules(**dict.fromkeys(kit.THRESHOLDS, 0)))
    exprs = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert {number for expr in exprs for number in re.findall(r"[<>]=? *([\d.]+)", expr)} <= {"0", "1"}


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "0.8", "much", None, [1]])
def test_a_threshold_is_a_number_above_0(value):
    (sentence,) = wrong_thresholds(kit.THRESHOLDS | {"clock_seconds": value})
    assert sentence == f"`cluster_threshold_clock_seconds` is {value!r}; give it a number above 0."


def test_a_share_is_1_at_most():
    assert wrong_thresholds({"inodes_share": 1, "clock_seconds": 80}) == []
    (sentence,) = wrong_thresholds({"inodes_share": 80, "clock_seconds": 80})
    assert sentence == "`cluster_threshold_inodes_share` is 80; give it a number above 0, and 1 at most."
