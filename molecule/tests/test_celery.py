"""The Celery programs that run, and tasks that go through them."""

import concurrent.futures
import json
import re
import time
import uuid

import pytest

# Programs that a host may have in addition to its workers; each has its own tests.
OF_OTHER_ROLES = {"beat", "flower", "flower-presence", "web"}


def programs(worker):
    return worker.expect("celery_worker_programs")


def test_supervisor_runs_each_program_and_no_other(worker):
    status = dict(line.split()[:2] for line in worker.run("supervisorctl status").splitlines())
    running = {name: state for name, state in status.items() if name not in OF_OTHER_ROLES}
    assert running == {program["name"]: "RUNNING" for program in programs(worker)}


def test_real_command_lines(worker):
    for program in programs(worker):
        pid = worker.pid(program["name"])
        command = worker.run(f"cat /proc/{pid}/cmdline").rstrip("\0").split("\0")
        assert {"--without-heartbeat", "--without-gossip", "--without-mingle"} <= set(command)
        assert f"--hostname={program['name']}@{worker.name}" in command
        assert f"--queues={','.join(program['queues'])}" in command
        assert f"--pool={program.get('pool', 'prefork')}" in command
        if "concurrency" in program:
            assert f"--concurrency={program['concurrency']}" in command
        assert ("-E" in command) == worker.expect("celery_worker_task_events")
        assert worker.run(f"ps -o user= -p {pid}").strip() == worker.expect("celery_worker_user")


def test_each_program_has_its_pool_processes(worker):
    for program in programs(worker):
        children = len(worker.children(program["name"]))
        scale = program.get("autoscale", {"min": program.get("concurrency"), "max": program.get("concurrency")})
        if program.get("pool", "prefork") == "prefork":
            assert scale["min"] <= children <= scale["max"]
        else:
            assert children == 0


def test_effective_settings(worker):
    """As the running workers report them, not as the file says."""
    module = worker.expect("celery_app_module")
    nodes = ",".join(f"{program['name']}@{worker.name}" for program in programs(worker))
    report = worker.app_output(
        "celery", "-A", module, "inspect", "conf", "--json", "--timeout=10", f"--destination={nodes}"
    )
    wanted = {
        "event_queue_ttl": worker.expect("celery_app_event_queue_ttl_seconds"),
        "event_queue_expires": worker.expect("celery_app_event_queue_expires_seconds"),
        "worker_prefetch_multiplier": worker.expect("celery_app_prefetch_multiplier"),
        "task_acks_late": worker.expect("celery_app_acks_late"),
        "task_reject_on_worker_lost": worker.expect("celery_app_reject_on_worker_lost"),
        "task_ignore_result": worker.expect("celery_app_ignore_result"),
        "task_serializer": worker.expect("celery_app_serializer"),
        "result_expires": worker.expect("celery_app_result_expires_seconds"),
        "broker_heartbeat": worker.expect("celery_app_broker_heartbeat_seconds"),
        "broker_pool_limit": worker.expect("celery_app_broker_pool_limit"),
        "broker_channel_error_retry": worker.expect("celery_app_broker_channel_error_retry"),
        "broker_connection_max_retries": None,
        "worker_max_tasks_per_child": worker.expect("celery_app_max_tasks_per_child"),
        "worker_max_memory_per_child": worker.expect("celery_app_max_memory_per_child_kib"),
    }
    answers = json.loads(report)
    assert len(answers) == len(programs(worker))
    for settings in answers.values():
        assert {name: settings.get(name) for name in wanted} == wanted
        options = settings["broker_transport_options"]
        assert options["confirm_publish"] == worker.expect("celery_app_confirm_publish")
        # A publish without an open connection tries by the policy of publishing, for no certain time.
        assert options["connect_retries_timeout"] is None
        assert options["max_retries"] == settings["task_publish_retry_policy"]["max_retries"]


def test_a_publish_waits_for_its_confirm_no_longer_than_configured(publisher):
    module = publisher.expect("celery_app_module")
    program = (
        "import sys; from celery.app.utils import find_app; "
        "print(find_app(sys.argv[1]).amqp.router.route({}, sys.argv[2])['confirm_timeout'])"
    )
    for task in ["celery.accumulate", "warren_app.tasks.estimate_pi"]:
        timeout = publisher.app_output("python", "-c", program, module, task)
        assert int(timeout) == publisher.expect("celery_app_confirm_timeout_seconds")


def test_the_release_is_the_same_everywhere(workers, publishers):
    current = f"/opt/celery/{workers[0].expect('celery_app_name')}/current"
    assert len({member.run(f"readlink {current}") for member in [*workers, *publishers]}) == 1


@pytest.mark.cluster
def test_a_task_sent_from_one_host_is_done_on_the_other(workers, count_tasks):
    for sender in workers:
        done = count_tasks(f"from-{sender.name}-{uuid.uuid4()}", 100, submit_on=sender)
        assert all(done[other.name] > 0 for other in workers if other is not sender)


def test_an_event_consumer_has_a_bounded_queue(workers, queues):
    """On a host of workers: where programs only send tasks, their user may not read events."""
    reader = workers[0]
    module = reader.expect("celery_app_module")

    def event_queues():
        return {name: queue for name, queue in queues().items() if name.startswith("celeryev")}

    # A Flower has one, too, and another one after it has connected again.
    before = event_queues()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # On a busy machine, the command and each look at the queues take seconds.
        watching = pool.submit(reader.app, "celery", "-A", module, "events", "--dump", seconds=25)
        found = {}
        while not watching.done() and not found:
            time.sleep(0.5)
            found = {name: queue for name, queue in event_queues().items() if name not in before}
        watching.result()
    assert found
    for queue in found.values():
        assert queue["arguments"]["x-message-ttl"] == reader.expect("celery_app_event_queue_ttl_seconds") * 1000
        assert queue["arguments"]["x-expires"] == reader.expect("celery_app_event_queue_expires_seconds") * 1000
        assert queue["policy"] == "celery-events"


@pytest.mark.cluster
@pytest.mark.disruptive
def test_a_stopping_worker_finishes_its_task(worker, workers, count_tasks):
    """Each worker in turn is stopped in the middle of tasks; none is done twice, and none is lost."""
    name = next(program["name"] for program in programs(worker) if "default" in program["queues"])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        counting = pool.submit(count_tasks, f"stop-{worker.name}-{uuid.uuid4()}", 12, "--work-seconds", "2")
        time.sleep(3)
        try:
            worker.run(f"supervisorctl stop {name}")
        finally:
            worker.run(f"supervisorctl start {name}")
        done = counting.result()
    assert done[worker.name] > 0


def test_temporary_files_have_a_folder_of_their_own(worker):
    for program in worker.expect("celery_worker_programs"):
        assert "TMPDIR=/var/lib/celery/tmp" in worker.run(f"cat /proc/{worker.pid(program['name'])}/environ").split(
            "\0"
        )
    folder = worker.host.file("/var/lib/celery/tmp")
    assert (folder.user, folder.mode) == (worker.expect("celery_app_user"), 0o700)


@pytest.mark.disruptive
def test_old_temporary_files_are_removed_and_counted(worker):
    """Those of the project's user, which nobody has used for long; not younger ones, and not other people's."""
    old, young = f"{worker.expect('celery_app_temporary_files_days') + 1} days ago", "1 hour ago"
    user = worker.expect("celery_app_user")
    made = {
        "/tmp/celery-test-old": (user, old),
        "/var/lib/celery/tmp/celery-test-old": (user, old),
        "/tmp/celery-test-young": (user, young),
        "/tmp/celery-test-of-root": ("root", old),
    }
    for path, (owner, when) in made.items():
        worker.run("touch --date=%s %s", when, path)
        worker.run("chown %s %s", owner, path)
    try:
        assert worker.run("systemctl is-enabled celery-clean.timer") == "enabled"
        since = worker.run("date +%s")
        worker.run("systemctl start celery-clean")
        left = {path for path in made if worker.host.file(path).exists}
        assert left == {"/tmp/celery-test-young", "/tmp/celery-test-of-root"}
        said = worker.run(f"journalctl --unit=celery-clean --since=@{since} --output=cat")
        assert re.search(r"^/tmp: removed 1, \d+ left; inodes used: \d+%$", said, re.MULTILINE), said
    finally:
        worker.run(f"rm -f {' '.join(made)}")


# Sends two tasks that wait in the workers, and revokes the second: its id.
REVOKE = """
import sys, uuid
from celery.app.utils import find_app

app = find_app(sys.argv[1])
app.loader.import_default_modules()
ids = [str(uuid.uuid4()) for _ in range(2)]
record = app.tasks["warren_app.ledger.record"]
for number, task_id in enumerate(ids):
    record.apply_async((sys.argv[2], number), task_id=task_id, countdown=float(sys.argv[3]))
app.control.revoke(ids[1], reply=True, timeout=10)
print(ids[1])
"""


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_revoke_survives_the_restart_of_all_workers(workers, ledger, signal):
    """Of two tasks that wait in workers which end meanwhile, the one that was not revoked is done."""
    run = f"revoked-{uuid.uuid4()}"
    # Hosts without workers may revoke nothing.
    module = workers[0].expect("celery_app_module")
    task_id = workers[0].app_output("python", "-c", REVOKE, module, run, "25").strip()
    for worker in workers:
        for program in programs(worker):
            kept = worker.host.file(f"/var/lib/celery/state/{program['name']}")
            assert task_id in kept.content_string
            assert kept.user == worker.expect("celery_worker_user")
    before = {worker.name: [worker.pid(program["name"]) for program in programs(worker)] for worker in workers}
    for worker in workers:
        worker.run(f"kill -{signal} {' '.join(before[worker.name])}")
    (record,) = ledger(run, 1)
    # A revoked one would be done at the same moment.
    time.sleep(5)
    assert ledger(run, 1) == [record]
    assert record["number"] == 0
    after = {worker.name: [worker.pid(program["name"]) for program in programs(worker)] for worker in workers}
    assert all(set(after[name]).isdisjoint(before[name]) for name in before)


ENTRY = "/etc/supervisor/conf.d/celery-workers.conf"


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.lengthy
def test_an_argument_that_means_something_to_supervisord_reaches_the_program(workers, playbook):
    """And supervisord starts with it again. `%n` is Celery's own: the name of the program."""
    worker = workers[0]
    argument = "--statedb=/var/lib/celery/home/%n ; #.state"
    wanted = [program | {"extra_arguments": [argument]} for program in programs(worker)]
    changed = json.dumps({"celery_worker_programs": wanted})
    only_this = ["playbooks/site.yml", "--tags", "celery_worker", "--limit", worker.name]
    try:
        playbook(*only_this, "-e", changed)
        worker.run("systemctl restart supervisor", seconds=400)
        playbook("playbooks/health.yml", "--limit", worker.name)
        for program in wanted:
            command = worker.run(f"cat /proc/{worker.pid(program['name'])}/cmdline").split("\0")
            assert argument in command
            assert worker.host.file(f"/var/lib/celery/home/{program['name']} ; #.state").exists
    finally:
        playbook(*only_this)
        worker.run("sh -c 'rm -f /var/lib/celery/home/*.state*'")


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.lengthy
def test_an_entry_that_supervisord_would_not_take_is_refused_and_the_old_one_stays(workers, playbook):
    """Here because another entry has a program of the same name already."""
    worker = workers[0]
    name = programs(worker)[0]["name"]
    before = worker.run(f"sha256sum {ENTRY}; supervisorctl pid {name}")
    other = "/etc/supervisor/conf.d/another.conf"
    worker.run("sh -c %s", f"printf '[program:{name}]\\ncommand=/bin/true\\n' >{other}")
    changed = json.dumps({"celery_worker_log_backups": 6})
    only_this = ["playbooks/site.yml", "--tags", "celery_worker", "--limit", worker.name]
    try:
        output, _ = playbook(*only_this, "-e", changed, expect_success=False)
        said = " ".join(output.split())
        assert "would not start with the new celery-workers.conf, so the old one stays" in said
        assert f"{other} has a program of the same name: {name}" in said
        assert worker.run(f"sha256sum {ENTRY}; supervisorctl pid {name}") == before
    finally:
        worker.run(f"rm {other}")


@pytest.mark.cluster
@pytest.mark.disruptive
@pytest.mark.lengthy
def test_a_bad_entry_of_an_earlier_version_is_written_anew(workers, playbook):
    """Although supervisord does not start with it."""
    worker = workers[0]
    good = worker.run(f"cat {ENTRY}")
    worker.run(f"sed -i '/^command=/s/$/ --statedb=%n/' {ENTRY}")
    worker.run("systemctl restart supervisor", seconds=400)
    playbook("playbooks/site.yml", "--tags", "celery_worker", "--limit", worker.name)
    assert worker.run(f"cat {ENTRY}") == good
    assert not worker.host.file(f"{ENTRY}.refused").exists
    playbook("playbooks/health.yml", "--limit", worker.name)
