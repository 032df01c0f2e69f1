"""The alerts fire when they should, and the runbook has a paragraph for each that says what to type."""

import json
import re
import shutil

import kit
import pytest
import yaml
from kit import PROJECT
from warren import doctor

pytestmark = pytest.mark.lengthy

TESTS = PROJECT / "tests/alerts_test.yml"
RUNBOOK = (PROJECT / "docs/runbook.md").read_text()
DASHBOARD = json.loads((PROJECT / "docs/grafana-dashboard.json").read_text())
ALERTS = kit.alerts()


def promtool(folder, *arguments):
    """Run promtool in a folder; returns the exit code and what it says."""
    done = kit.run_in_the_validators_image(
        *["sh", "-c", 'cd /alerts && exec promtool "$@"', "promtool", *arguments], volumes=[f"{folder}:/alerts:ro"]
    )
    return done.returncode, done.stdout + done.stderr


def promtool_test(folder, rules):
    """Run the tests of the rules on a text of rules; returns the exit code and what promtool says."""
    (folder / "alerts.yml").write_text(rules)
    shutil.copy(TESTS, folder)
    return promtool(folder, "test", "rules", TESTS.name)


def test_each_alert_fires_for_its_fault_only(tmp_path):
    code, said = promtool_test(tmp_path, kit.alert_rules())
    assert code == 0, said


def test_the_tests_of_the_alerts_bite(tmp_path):
    code, said = promtool_test(tmp_path, kit.alert_rules().replace("> 0.8", "> 0.95"))
    assert code == 1
    assert set(re.findall(r"alertname: (\w+)", said)) == {
        name for name, rule in ALERTS.items() if "> 0.8" in rule["expr"]
    }


QUEUES = ["default", "a.b|c(d)", """it's "quoted" \\d+ {{ $value }}""", "größer"]


def test_the_inventorys_queues_reach_the_alerts_as_they_are(tmp_path):
    """Quoted for YAML, whatever a queue is called: the alert fires for each of them, and for no other."""
    templates = PROJECT / "roles/prometheus/templates"
    rendered = "{{ lookup('ansible.builtin.template', templates ~ '/' ~ item.src) }}"
    task = {
        "name": "Render",
        "ansible.builtin.copy": {"content": rendered, "dest": f"{tmp_path}/{{{{ item.dest }}}}"},
        "loop": [
            {"src": "alerts.yml.j2", "dest": "alerts.yml"},
            {"src": "warren-inventory.yml.j2", "dest": "inventory.yml"},
        ],
    }
    play = {"name": "Render", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    # Read from a file: as a variable, the braces in a name would be a template to Ansible.
    (tmp_path / "names.json").write_text(json.dumps(QUEUES))
    variables = {
        "templates": templates,
        "names": tmp_path / "names.json",
        "prometheus_task_queues": "{{ lookup('ansible.builtin.file', names) | from_json }}",
        "prometheus_workers": ["größer@w1"],
        "prometheus_supervised_hosts": ["w1"],
        "prometheus_scheduler": True,
        "prometheus_jobs": [{"name": "rabbitmq_queues", "targets": {"mq1": "192.0.2.1:1"}}],
    }
    done = kit.run(
        "ansible-playbook",
        *kit.inventory_arguments(kit.INVENTORIES["lab"]),
        tmp_path / "play.json",
        *kit.extra_vars(**variables),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load((tmp_path / "inventory.yml").read_text())["groups"][0]["rules"]
    assert [rule.get("labels") for rule in rules] == [
        *({"queue": name} for name in QUEUES),
        {"worker": "größer@w1"},
        {"instance": "w1"},
        None,
        {"job": "rabbitmq_queues"},
    ]
    fires = {
        "eval_time": "2m",
        "alertname": "QueueWithoutConsumers",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "critical", "queue": name},
                "exp_annotations": {
                    "summary": f"Nobody takes tasks from the queue {name}",
                    "check": "queues are consumed",
                },
            }
            for name in QUEUES
        ],
    }
    series = [{"series": 'up{job="rabbitmq_queues", instance="mq1"}', "values": "1x10"}]
    test = {"interval": "15s", "input_series": series, "alert_rule_test": [fires]}
    files = {"rule_files": ["alerts.yml", "inventory.yml"], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(files))
    # As the tests above have it.
    assert (tmp_path / "alerts.yml").read_text() == kit.alert_rules()
    code, said = promtool(tmp_path, "test", "rules", "test.yml")
    assert code == 0, said


# Metrics that are missing although all is well, so that no alert checks for them.
ABSENT = {
    "node_nf_conntrack_entries": "the kernel tracks no connection",
    "node_nf_conntrack_entries_limit": "the kernel tracks no connection",
    "erlang_vm_dist_node_state": "a broker alone has no peer; with others BrokersApart fires without it",
    "flower_worker_online": "Flower has not seen a worker yet; WorkerUnseen compares it with the inventory",
    "flower_events_total": "Flower has not seen an event yet",
    "warren_pool_idle": "the watchdog is off, or no program answers it",
    "warren_security_update_timestamp_seconds": "no update is pending",
    "redis_db_keys": "a database without keys",
    "redis_db_keys_expiring": "a database without keys",
}


def test_each_metric_that_an_alert_reads_is_looked_for():
    """An alert whose metric is missing never fires."""
    exprs = {name: re.sub(r'"[^"]*"', "", rule["expr"]) for name, rule in ALERTS.items()}
    metrics = re.compile(
        r"\b(?:rabbitmq|erlang|haproxy|redis|node|flower|warren_program|warren_pool|warren_package|warren_security)_\w+"
    )
    read = {metric for name, expr in exprs.items() if name != "MetricsMissing" for metric in metrics.findall(expr)}
    missing = ALERTS["MetricsMissing"]["expr"]
    looked_for = re.findall(r'unless on \((?:instance)?\) (\w+),\s*"metric", "(\w+)"', missing)
    assert looked_for == [(metric, metric) for metric, _ in looked_for]
    assert missing.count("label_replace") == len(looked_for)
    assert sorted(metric for metric, _ in looked_for) == sorted(read - ABSENT.keys())
    assert read >= ABSENT.keys()


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
    section = RUNBOOK.partition("## What only the doctor sees")[2].partition("\n## ")[0]
    alone = set(re.findall(r"^\| ([A-Za-z' ]+) \|", section, re.M))
    assert alerted | alone - {"check"} == checks
    assert alerted & alone == set()


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_each_panel_of_the_dashboard_can_be_shown(panel):
    if panel["type"] == "row":
        return
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["expr"] and target["refId"] for target in panel["targets"])
