"""Prometheus reads every part, knows the metrics that alerts and dashboard are made of, and shows its page."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import uuid
from pathlib import Path

import kit
import pytest

pytestmark = pytest.mark.cluster

PROJECT = Path(__file__).resolve().parents[2]
PICTURE = PROJECT / ".cache/artefacts/prometheus.png"
ALERTS = kit.alerts()
DASHBOARD = PROJECT / "docs/grafana-dashboard.json"
PANELS = json.loads(DASHBOARD.read_text())["panels"]
METRIC = re.compile(r"\b(?:up|(?:rabbitmq|erlang|haproxy|redis|node|flower)_\w+)\b")


def test_every_part_is_read(prometheus, monitor, all_members, brokers, balancers, stores):
    targets = {
        (t["labels"]["job"], t["labels"]["instance"]): t for t in prometheus("targets", state="active")["activeTargets"]
    }
    instances = [f"{stores[0].name} {instance['name']}" for instance in stores[0].expect("redis_instances")]
    wanted = {("node", member.name) for member in all_members} | {("redis", name) for name in instances}
    wanted |= {(job, broker.name) for broker in brokers for job in ("rabbitmq", "rabbitmq_queues")}
    wanted |= {("haproxy", balancer.name) for balancer in balancers} | {("flower", monitor.name)}
    assert set(targets) == wanted
    assert {name: target["lastError"] for name, target in targets.items() if target["health"] != "up"} == {}


def test_it_runs_the_alerts_of_the_kit(prometheus):
    rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    assert sorted(rule["name"] for rule in rules if rule["type"] == "alerting") == sorted(ALERTS)
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] == "err"} == {}


def test_it_knows_what_the_inventory_has(prometheus, monitor):
    """The alerts' own view of it: each task queue, and the number of targets of each job."""
    queues = {series["metric"]["queue"] for series in prometheus("query", query="warren_task_queue")["result"]}
    assert queues == set(monitor.expect("prometheus_task_queues"))
    targets = {
        s["metric"]["job"]: int(s["value"][1]) for s in prometheus("query", query="warren_job_targets")["result"]
    }
    assert targets == {job["name"]: len(job["targets"]) for job in monitor.expect("prometheus_jobs")}


@pytest.mark.parametrize("alert", ["MetricsMissing", "TargetsMissing", "QueueWithoutConsumers"])
def test_nothing_that_must_be_there_is_missing(prometheus, alert):
    """Before the alert's time is over."""
    assert prometheus("query", query=ALERTS[alert]["expr"])["result"] == []


@pytest.mark.parametrize(
    "texts",
    [
        [rule["expr"] for rule in ALERTS.values()],
        [target["expr"] for panel in PANELS for target in panel.get("targets", [])],
    ],
    ids=["alerts", "dashboard"],
)
def test_every_metric_that_is_named_exists(prometheus, texts):
    """A name that is wrong gives an alert that never fires, and an empty panel."""
    # What is in quotes is a label's value.
    named = {name for text in texts for name in METRIC.findall(re.sub(r'"[^"]*"', "", text))}
    assert len(named) > 10
    assert named - set(prometheus("label/__name__/values")) == set()


def test_every_panel_of_the_dashboard_has_something_to_show(prometheus, count_tasks):
    """Flower has metrics of tasks when it has seen some, and a rate is made of two looks at them."""
    count_tasks(f"dashboard-{uuid.uuid4()}", 50)
    targets = [(panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", [])]
    for _ in range(20):
        empty = [title for title, expr in targets if not prometheus("query", query=expr)["result"]]
        if not empty:
            break
        time.sleep(3)
    assert empty == []


def test_redis_passwords_are_for_the_exporter_only(store):
    for instance in store.expect("redis_instances"):
        place = f"/etc/default/prometheus-redis-{instance['name']}-exporter"
        file = store.host.file(f"{place}.json")
        assert (file.user, file.group, file.mode) == ("root", "prometheus", 0o640)
        assert store.expect("redis_password") not in file.content_string
        assert store.expect("redis_monitor_password") not in store.host.file(place).content_string


def test_the_page_shows_the_targets_in_a_browser(monitor, tmp_path):
    """Prometheus' own page, with its scripts. The picture is kept in .cache/artefacts."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.fail(
            "This test looks at Prometheus' page with Chromium: type `apt-get install chromium`.", pytrace=False
        )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.unlink(missing_ok=True)
    login = f"{monitor.expect('prometheus_user')}:{urllib.parse.quote(monitor.expect('prometheus_password'), safe='')}"
    place = f"{monitor.expect('prometheus_bind')}:{monitor.expect('prometheus_port')}"
    page = f"{monitor.scheme}://{login}@{place}/classic/targets"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"]
    command += ["--ignore-certificate-errors"]
    command += [f"--user-data-dir={tmp_path}", "--window-size=1400,2400", "--virtual-time-budget=8000"]
    command += [f"--screenshot={PICTURE}", "--dump-dom", page]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    for job in monitor.expect("prometheus_jobs"):
        assert job["name"] in shown
    assert "mq1" in shown
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
