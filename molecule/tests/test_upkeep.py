"""The upkeep of worker programs: the watchdog, the rolling restart, and a release that cannot be imported."""

import concurrent.futures
import itertools
import json
import shutil
import time
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.disruptive, pytest.mark.cluster, pytest.mark.lengthy]

APP = Path(__file__).resolve().parents[2] / "app/reference"


def pids(worker):
    return {program["name"]: worker.pid(program["name"]) for program in worker.expect("celery_worker_programs")}


def timer_state(worker, name):
    return worker.host.run(f"systemctl is-enabled {name}.timer").stdout.strip()


def test_a_frozen_worker_is_replaced_and_its_tasks_are_done(workers, publishers, ledger):
    """SIGSTOP leaves the process and its connection; nothing but its silence tells that it does nothing any more."""
    victim = workers[0]
    assert timer_state(victim, "celery-watchdog") == "enabled"
    run = f"frozen-{uuid.uuid4()}"
    before = pids(victim)["default"]
    submit = ["ledger", "submit", "--run", run, "--count", "40", "--work-seconds", "2", "--queue", "default"]
    publishers[0].app_output(*submit)
    time.sleep(3)
    # The parent and its children: none of its running tasks will ever end.
    victim.run(f"kill -STOP -- -{before}")
    try:
        # The timer would start it within a minute; the rest is as at night. A run that is under way starts again.
        since = victim.run("date +%s")
        victim.run("systemctl restart celery-watchdog.service", seconds=300)
        assert "killing it" in victim.run(f"journalctl --unit=celery-watchdog --since=@{since} --output=cat")
        for _ in range(30):
            now = victim.host.run("supervisorctl pid default").stdout.strip()
            if now not in (before, "0"):
                break
            time.sleep(1)
        assert now not in (before, "0")
    finally:
        victim.host.run(f"kill -CONT -- -{before}")
    assert {record["number"] for record in ledger(run, 40, seconds=120)} == set(range(1, 41))


def test_workers_restart_one_host_at_a_time_and_lose_nothing(workers, playbook, count_tasks):
    """An input switches it on. Every host starts at the same moment, and they take turns."""
    calendar = json.dumps({"celery_worker_restart_calendar": "Sun 04:30"})
    assert {timer_state(worker, "celery-restart") for worker in workers} == {"disabled"}
    playbook("playbooks/site.yml", "--tags", "celery_worker", "-e", calendar)
    try:
        assert {timer_state(worker, "celery-restart") for worker in workers} == {"enabled"}
        next_runs = "systemctl list-timers celery-restart.timer --no-legend"
        assert all(worker.run(next_runs).startswith("Sun ") for worker in workers)
        before = {worker.name: pids(worker) for worker in workers}
        since = workers[0].run("date +%s")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            counting = pool.submit(count_tasks, f"restart-{uuid.uuid4()}", 300, "--rate", "10", seconds=120)
            list(pool.map(lambda worker: worker.run("systemctl start celery-restart", seconds=500), workers))
            counting.result()
    finally:
        playbook("playbooks/site.yml", "--tags", "celery_worker")
    for worker in workers:
        assert not set(pids(worker).values()) & set(before[worker.name].values())
    # From the first program's restart to the end of the service: these spans must not overlap.
    spans = []
    for worker in workers:
        journal = f"journalctl --unit=celery-restart --since=@{since} --output=short-unix --no-hostname"
        lines = [line.split(maxsplit=1) for line in worker.run(journal).splitlines()]
        stamps = [float(stamp) for stamp, text in lines if "restarting" in text or "Finished" in text]
        assert len(stamps) == len(before[worker.name]) + 1
        spans.append((stamps[0], stamps[-1]))
    spans.sort()
    assert all(earlier[1] <= later[0] + 1 for earlier, later in itertools.pairwise(spans)), spans


@pytest.mark.parametrize(
    ("line", "commands", "words"),
    [
        ("import no_such_module_of_ours", [], ["warren_app cannot be imported, so", "Traceback", "No module named"]),
        ("# Another release.", ["echo no such table >&2; exit 3"], ["no such table"]),
    ],
    ids=["cannot be imported", "cannot be prepared"],
)
def test_a_release_that_fails_is_never_switched_to(line, commands, words, workers, playbook, tmp_path, count_tasks):
    """It fails on one host, the first; the others must not switch either."""
    broken = tmp_path / "app"
    shutil.copytree(APP, broken)
    with (broken / "warren_app/tasks.py").open("a") as file:
        file.write(f"\n{line}\n")
    current = f"readlink /opt/celery/{workers[0].expect('celery_app_name')}/current"
    before = [(worker.run(current), pids(worker)) for worker in workers]
    given = json.dumps({"cluster_app_source": str(broken), "cluster_app_release_commands": commands})
    output, _ = playbook("playbooks/site.yml", "--tags", "celery_worker", "-e", given, expect_success=False)
    assert [word for word in words if word not in output] == []
    assert [(worker.run(current), pids(worker)) for worker in workers] == before
    count_tasks(f"after-broken-{uuid.uuid4()}", 50)
