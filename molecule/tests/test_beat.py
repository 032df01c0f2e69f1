"""The scheduler: what is due is sent once, by one host, whatever happens to that host."""

import itertools
import json
import time
import uuid

import pytest

pytestmark = [pytest.mark.disruptive, pytest.mark.cluster, pytest.mark.lengthy]

INTERVAL = 5
# How long the schedule may stand still when the active host dies.
TAKEOVER = 30


def ticks(ledger, run):
    """When each task of a run was done, in order. One that a dead worker gave back counts when it was done first."""
    done = {}
    for record in ledger(run, 0):
        done.setdefault(record["task_id"], record["time"])
    return list(done.values())


def gaps(times):
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def sent(schedulers, run):
    """How many tasks of a run each host says that it has sent."""
    command = f"grep --count 'Sending due task {run} ' /var/log/celery/beat.log || true"
    return {scheduler.name: int(scheduler.run("sh -c %s", command)) for scheduler in schedulers}


def active(schedulers, run):
    """The hosts that send now."""
    before = sent(schedulers, run)
    time.sleep(2.5 * INTERVAL)
    return [scheduler for scheduler in schedulers if sent(schedulers, run)[scheduler.name] > before[scheduler.name]]


def pids(members):
    """The processes of all programs of supervisord but the scheduler."""
    command = "supervisorctl status | grep --invert-match '^beat '"
    return {member.name: [line.split()[:4] for line in member.run(command).splitlines()] for member in members}


@pytest.fixture(scope="module")
def run(schedulers, workers, ledger, playbook):
    """An entry that the schedule has for the time of these tests: its name, which is that of its run in the ledger."""
    name = f"beat-{uuid.uuid4()}"
    entry = {"name": name, "task": "warren_app.ledger.record", "args": [name, 0], "every_seconds": INTERVAL}
    schedule = [*schedulers[0].expect("celery_beat_schedule"), entry]
    site = ["playbooks/site.yml", "--tags", "celery_beat"]
    before = pids(workers)
    playbook(*site, "-e", json.dumps({"cluster_schedule": schedule}))
    assert pids(workers) == before, "a changed schedule restarted workers"
    yield name
    playbook(*site)
    # What has left the schedule is not sent any more, not even from Redis.
    time.sleep(INTERVAL)
    done = ticks(ledger, name)
    time.sleep(2 * INTERVAL)
    assert ticks(ledger, name) == done


def test_an_entry_is_sent_on_time_by_exactly_one_host(schedulers, ledger, run):
    assert len(active(schedulers, run)) == 1
    time.sleep(3 * INTERVAL)
    times = ticks(ledger, run)[1:]
    assert len(times) >= 3
    assert all(INTERVAL - 1.5 < gap < INTERVAL + 1.5 for gap in gaps(times)), gaps(times)


def test_a_standby_goes_on_when_the_active_host_dies(schedulers, ledger, run, playbook):
    """All programs of the host are killed at once and stay down, so that nothing releases the lock."""
    assert len(schedulers) > 1, "the inventory has no standby under `celery_beat:`"
    (victim,) = active(schedulers, run)
    others = [scheduler for scheduler in schedulers if scheduler is not victim]
    died = float(victim.run("date +%s.%N"))
    victim.run("sh -c %s", "systemctl kill --signal=KILL supervisor; systemctl stop supervisor")
    try:
        for _ in range(2 * TAKEOVER):
            time.sleep(1)
            if len([when for when in ticks(ledger, run) if when > died + 1]) >= 3:
                break
        assert len(active(schedulers, run)) == 1
    finally:
        victim.run("systemctl start supervisor")
        playbook("playbooks/verify.yml", "--limit", victim.name)
    # The host that came back leaves the schedule to the other.
    (now_active,) = active(schedulers, run)
    assert now_active in others
    times = ticks(ledger, run)
    after = [when for when in times if when > died]
    assert after[0] - died < TAKEOVER
    # Two schedulers would send between each other's, and a task that was sent twice would be done at once.
    assert min(gaps(times)) > INTERVAL - 1.5, gaps(times)
