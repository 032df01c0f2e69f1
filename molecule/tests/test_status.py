"""What status.yml shows of the cluster, whole and with parts of it down."""

import json
import re
import time
import uuid
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]


def status():
    """What the last status.yml wrote."""
    return json.loads((PROJECT / ".cache/status.json").read_text())


def lines(title):
    """The lines of a part, by name."""
    return {line["name"]: line for line in status()["parts"][title]}


def test_a_healthy_cluster_has_no_problem(playbook, brokers, workers):
    output, recap = playbook("playbooks/status.yml")
    assert status()["problems"] == []
    assert "no problem" in output
    # The screen is the last thing that is shown.
    assert output.index("PLAY RECAP") < output.index("TASKS RECAP") < output.index("Brokers  version")
    assert not any(counts["changed"] for counts in recap.values())
    assert set(lines("Brokers")) == {broker.name for broker in brokers}
    programs = {f"{p['name']}@{worker.name}" for worker in workers for p in worker.expect("celery_worker_programs")}
    assert set(lines("Workers")) == programs
    # Numbers for programs, and texts for people.
    sizes = [line["memory_bytes"] for line in [*lines("Brokers").values(), *lines("Workers").values()]]
    assert all(isinstance(number, int) and number > 1024**2 for number in sizes)
    assert all(line["uptime_seconds"] > 0 for line in lines("Workers").values())


def test_a_healthy_cluster_has_nothing_wrong(playbook):
    output, recap = playbook("playbooks/verify.yml")
    assert re.search(r"\d+ ok, 0 wrong, 0 not known", output)
    assert not any(counts["changed"] for counts in recap.values())


def test_a_limit_is_refused(playbook, workers):
    output, _ = playbook("playbooks/status.yml", "--limit", workers[0].name, expect_success=False)
    said = " ".join(output.split())
    assert "type the command without `--limit`" in said
    assert f"playbooks/health.yml --limit {workers[0].name}`" in said


@pytest.mark.cluster
def test_a_wrong_password_is_a_line_and_the_rest_is_shown(playbook, balancers):
    playbook("playbooks/status.yml", "-e", "haproxy_stats_password=wrong")
    for balancer in balancers:
        (problem,) = lines("HAProxy")[balancer.name]["problems"]
        assert "does not take the password" in problem
    assert all(line["problems"] == [] for line in lines("Brokers").values())


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.lengthy
def test_what_is_down_is_a_line_and_the_rest_is_shown(playbook, brokers, balancers, workers, schedulers, tmp_path):
    """A broker is stopped, another host cannot be reached, and a scheduler has been ended."""
    stopped, scheduler, away = brokers[-1], schedulers[0], workers[-1]
    inventory = tmp_path / "away.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {away.name: {"ansible_port": 1}}}}))
    stopped.run("systemctl stop rabbitmq-server")
    scheduler.run("supervisorctl stop beat")
    try:
        output, _ = playbook("playbooks/status.yml", "-i", str(inventory))
    finally:
        stopped.run("systemctl start rabbitmq-server", seconds=120)
        scheduler.run("supervisorctl start beat")
    # The command that looks closer is for this cluster.
    assert f" -i {inventory} playbooks/verify.yml` looks closer" in output
    brokers_now, workers_now = lines("Brokers"), lines("Workers")
    assert brokers_now[stopped.name]["problems"] == ["does not run; there, type `systemctl status rabbitmq-server`"]
    assert brokers_now[brokers[0].name]["problems"] == [f"does not see rabbit@{stopped.name} running"]
    assert "does not answer by SSH" in workers_now[f"*@{away.name}"]["problems"][0]
    assert workers_now[f"default@{workers[0].name}"]["problems"] == []
    assert "does not run" in lines("Scheduler")[scheduler.name]["problems"][0]
    assert any(f"finds {stopped.name} DOWN" in problem for problem in status()["problems"])


@pytest.mark.cluster
def test_the_tour_of_the_lab_ends_with_counts_and_addresses(playbook, publishers, monitors, ledger):
    """What `make lab` prints last; the rest of its commands are those of the scenario."""
    run = f"tour-{uuid.uuid4()}"
    publishers[0].app_output("ledger", "submit", "--run", run, "--count", "3")
    assert len(ledger(run, 3)) == 3
    given = {"run": run, "tour_start": int(time.time()) - 7, "converge_seconds": 5, "converge_changed_hosts": 0}
    playbook("lab/tour.yml", "-e", json.dumps(given))
    summary = (PROJECT / ".cache/summary").read_text()
    assert "3 tasks accepted, 3 done, 0 lost, 0 done twice" in summary
    assert f"Flower            {monitors[0].scheme}://{monitors[0].address}:" in summary
    assert "site.yml with nothing to do took 5 s and changed 0 hosts" in summary
