"""The alerts fire when they should, and whoever gets one finds a paragraph that says what to type."""

import json
import re
import shutil

import doctor
import kit
import pytest
import yaml
from kit import PROJECT

RULES = PROJECT / "roles/prometheus/files/alerts.yml"
TESTS = PROJECT / "tests/alerts_test.yml"
RUNBOOK = (PROJECT / "docs/runbook.md").read_text()
DASHBOARD = json.loads((PROJECT / "docs/grafana-dashboard.json").read_text())
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def promtool_test(folder, rules):
    """Run the tests of the rules on a text of rules; returns the exit code and what promtool says."""
    (folder / RULES.name).write_text(rules)
    shutil.copy(TESTS, folder)
    done = kit.run_in_the_validators_image(
        *["promtool", "test", "rules", f"/alerts/{TESTS.name}"], volumes=[f"{folder}:/alerts:ro"]
    )
    return done.returncode, done.stdout + done.stderr


def test_each_alert_fires_for_its_fault_only(tmp_path):
    code, said = promtool_test(tmp_path, RULES.read_text())
    assert code == 0, said


def test_the_tests_of_the_alerts_bite(tmp_path):
    code, said = promtool_test(tmp_path, RULES.read_text().replace("> 0.8", "> 0.95"))
    assert code == 1
    assert set(re.findall(r"alertname: (\w+)", said)) == {
        name for name, rule in ALERTS.items() if "> 0.8" in rule["expr"]
    }


def test_each_alert_has_a_test():
    names = [test["name"] for test in yaml.safe_load(TESTS.read_text())["tests"]]
    assert list(dict.fromkeys(names)) == list(ALERTS)


def test_each_alert_has_a_paragraph_that_says_what_to_type():
    paragraphs = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", RUNBOOK, re.M | re.S))
    assert list(paragraphs) == list(ALERTS)
    assert [name for name, text in paragraphs.items() if "`" not in text] == []


def test_each_check_of_the_doctor_has_an_alert_or_a_reason_why_not():
    checks = {name for name, _ in doctor.CHECKS}
    alerted = {rule["annotations"]["check"] for rule in ALERTS.values() if "check" in rule["annotations"]}
    alone = set(re.findall(r"^\| ([a-z' ]+) \|", RUNBOOK.partition("## What only the doctor sees")[2], re.M))
    assert alerted | alone - {"check"} == checks
    assert alerted & alone == set()


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_each_panel_of_the_dashboard_can_be_shown(panel):
    if panel["type"] == "row":
        return
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["expr"] and target["refId"] for target in panel["targets"])
