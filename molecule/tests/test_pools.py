"""Every kind of pool does real tasks, and the figures of each are printed at the end of the run."""

import json
import time
import uuid

import pytest

pytestmark = pytest.mark.cluster

# How `inspect stats` names the pool of each kind.
IMPLEMENTATIONS = {
    "prefork": "celery.concurrency.prefork:TaskPool",
    "threads": "celery.concurrency.thread:TaskPool",
    "gevent": "celery.concurrency.gevent:TaskPool",
    "eventlet": "celery.concurrency.eventlet:TaskPool",
    "solo": "celery.concurrency.solo:TaskPool",
}


def pool_of(program):
    return program.get("pool", "prefork")


def programs_of(workers):
    """Every worker program of the cluster: (worker, program)."""
    return [(worker, program) for worker in workers for program in worker.expect("celery_worker_programs")]


@pytest.fixture(params=IMPLEMENTATIONS)
def pool(request, workers):
    """For each kind of pool, a worker host and a program that has it."""
    found = [(worker, program) for worker, program in programs_of(workers) if pool_of(program) == request.param]
    assert found, f"no worker program has the pool {request.param}"
    # If there is one, a program that is the only consumer of its queue.
    return min(found, key=lambda pair: sum(pair[1]["queues"] == other["queues"] for _, other in programs_of(workers)))


def stats(worker, program):
    node = f"{program['name']}@{worker.name}"
    module = worker.expect("celery_app_module")
    answer = worker.app_output("celery", "-A", module, "inspect", "stats", "--json", f"--destination={node}")
    return json.loads(answer)[node]


def test_the_pool_is_of_its_kind(pool):
    worker, program = pool
    assert stats(worker, program)["pool"]["implementation"] == IMPLEMENTATIONS[pool_of(program)]


def test_tasks_are_done_by_the_pool(pool, workers, publishers, count_tasks):
    worker, program = pool
    queue = program["queues"][0]
    executed = count_tasks(f"pool-{pool_of(program)}-{uuid.uuid4()}", 50, "--queue", queue, "--work-seconds", "0.1")
    consumers = {other.name for other, its in programs_of(workers) if queue in its["queues"]}
    assert {name for name, done in executed.items() if done} <= consumers
    assert executed[worker.name] > 0


@pytest.mark.parametrize("kind", ["threads", "gevent", "eventlet"])
def test_tasks_that_wait_wait_side_by_side(kind, workers, count_tasks):
    """Ten tasks of 3 s would take half a minute one after the other."""
    ((_, program),) = [(worker, its) for worker, its in programs_of(workers) if pool_of(its) == kind]
    began = time.monotonic()
    count_tasks(f"wait-{kind}-{uuid.uuid4()}", 10, "--queue", program["queues"][0], "--work-seconds", "3")
    assert time.monotonic() - began < 25


@pytest.mark.disruptive
@pytest.mark.lengthy
@pytest.mark.mirrored
def test_an_autoscaled_pool_grows_under_load(workers, balancers):
    """Also after it has lost its broker: by default, Celery then prefetches for the pool's present size only."""
    ((worker, program),) = [(worker, its) for worker, its in programs_of(workers) if "autoscale" in its]
    sizes = program["autoscale"]
    worker.run(f"supervisorctl restart {program['name']}")
    stats(worker, program)
    assert len(worker.children(program["name"])) == sizes["min"]
    for balancer in balancers:
        balancer.run("systemctl restart haproxy")
    # It answers again through the new connection.
    time.sleep(10)
    stats(worker, program)
    run = f"scaled-{uuid.uuid4()}"
    queue = program["queues"][0]
    worker.app_output(
        "ledger", "submit", "--run", run, "--count", "40", "--queue", queue, "--work-seconds", "1", seconds=100
    )
    most = 0
    for _ in range(20):
        most = max(most, len(worker.children(program["name"])))
        if most == sizes["max"]:
            break
        time.sleep(1)
    assert most == sizes["max"]


def test_a_pool_process_is_replaced_after_its_tasks(workers, count_tasks, ledger):
    ((_, program),) = [(worker, its) for worker, its in programs_of(workers) if "max_tasks_per_child" in its]
    run = f"recycled-{uuid.uuid4()}"
    count_tasks(run, 40, "--queue", program["queues"][0])
    tasks_of = {}
    for record in ledger(run, 40):
        tasks_of[record["pid"]] = tasks_of.get(record["pid"], 0) + 1
    assert max(tasks_of.values()) <= program["max_tasks_per_child"]


def test_idle_memory_is_told(pool, figures):
    """Proportional set size, so that pages which a parent shares with its children count once."""
    worker, program = pool
    main = worker.pid(program["name"])
    # A child that is replaced just now has none.
    said = [
        worker.run("sh -c %s", f"grep ^Pss: /proc/{pid}/smaps_rollup || true")
        for pid in [main, *worker.children(program["name"])]
    ]
    sizes = [sum(int(line.split()[1]) for line in lines.splitlines()) / 1024 for lines in said if lines]
    assert sizes[0] > 1
    figures.append(
        f"idle memory of a {pool_of(program)} worker: {sizes[0]:.0f} MiB"
        + (f", and {len(sizes) - 1} children of {sum(sizes[1:]) / (len(sizes) - 1):.0f} MiB" if sizes[1:] else "")
    )
