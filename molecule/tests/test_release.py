"""A release that adds a task, and the way back, while tasks of both releases are sent all the time."""

import hashlib
import json
import shutil
import time
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive, pytest.mark.lengthy]

APP = Path(__file__).resolve().parents[2] / "app/reference"
OLD, NEW = "warren_app.ledger.record", "warren_app.ledger.record_again"
# The same task under another name.
ADDED = f'\n\napp.task(bind=True, name="{NEW}", ignore_result=True)(record.run.__func__)\n'


def accepted_by(sender, run):
    """The records of the tasks that the sender's publishes returned for, by their numbers."""
    folder = sender.expect("celery_app_environment")["LEDGER_DIR"]
    lines = sender.run("sh -c %s", f"cat {folder}/{run}/accepted-*.jsonl").splitlines()
    return {record["number"]: record for record in map(json.loads, lines)}


def test_no_task_is_lost(publishers, workers, playbook, ledger, tmp_path):
    sender, run = publishers[0], f"release-{uuid.uuid4()}"
    newer = tmp_path / "app"
    shutil.copytree(APP, newer)
    with (newer / "warren_app/ledger/tasks.py").open("a") as file:
        file.write(ADDED)
    release = ["playbooks/site.yml", "--tags", "celery_worker", "-e", json.dumps({"cluster_app_source": str(newer)})]
    back = ["playbooks/site.yml", "--tags", "celery_worker"]
    current = f"readlink /opt/celery/{workers[0].expect('celery_app_name')}/current"
    before = workers[0].run(current)
    script = (Path(__file__).parent / "host_scripts/send_both.py").read_text()
    unit = "systemd-run --quiet --collect --unit=warren-both --property=RuntimeMaxSec=1200"
    words = (sender.expect("celery_app_name"), script, run, OLD, NEW)
    sender.run(f"{unit} /opt/celery/%s/run python -c %s %s %s %s", *words)
    try:
        time.sleep(5)
        output, _ = playbook(*release)
        assert workers[0].run(current) != before
        time.sleep(5)
        went_back = float(sender.run("date +%s"))
        output, _ = playbook(*back)
        # The programs that send tasks went first: not so, the workers.
        assert output.index("Switch back before the workers do") < output.index("PLAY [Workers]")
        assert workers[0].run(current) == before
        time.sleep(5)
    finally:
        sender.run("systemctl stop warren-both")
    sent = accepted_by(sender, run)
    held = {said["id"] for said in workers[0].parked("list")["parked"]}
    done = [record["number"] for record in ledger(run, len(sent) - len(held), seconds=120)]
    # Each once, or parked, and nothing else.
    assert len(done) == len(set(done))
    undone = {number: record for number, record in sent.items() if number not in set(done)}
    assert {record["task_id"] for record in undone.values()} == held
    # Only what workers could not know any more; what had been sent before was done.
    assert all(record["name"] == NEW and record["time"] > went_back for record in undone.values())
    assert held
    # The release that has the task does it.
    playbook(*release)
    done = [record["number"] for record in ledger(run, len(sent), seconds=120)]
    assert sorted(done) == sorted(sent)
    assert workers[0].parked("list")["total"] == 0
    playbook(*back)
    assert workers[0].run(current) == before


def test_an_archive_that_has_changed_is_built_anew(publishers, playbook):
    """The host has lost its release, and the control node's archive has one byte more."""
    host = publishers[0]
    release = Path(host.run(f"readlink -f /opt/celery/{host.expect('celery_app_name')}/current"))
    cache = Path(
        host.expect("celery_app_cache_dir").replace("{{ lookup('ansible.builtin.env', 'HOME') }}", str(Path.home()))
    )
    (archive,) = cache.glob(f"{host.expect('celery_app_name')}-{release.name}-*.tar.gz")
    recorded = archive.with_name(f"{archive.name}.sha256")
    changed = archive.read_bytes() + b"\n"
    archive.write_bytes(changed)
    host.run(f"mv {release} {release}.kept")
    try:
        playbook("playbooks/site.yml", "--tags", "celery_app", "--limit", host.name)
        assert archive.read_bytes() != changed
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == recorded.read_text().strip()
    finally:
        host.run(f"rm -rf {release} && mv {release}.kept {release}")
