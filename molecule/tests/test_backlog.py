"""What a backlog does: brokers keep their memory, and nothing that was accepted is lost."""

import concurrent.futures
import json
import time
import uuid

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive, pytest.mark.lengthy]

# Lower than the lab's own, so that it is reached within the test.
WATERMARK_MIB = 256


def accepted_of(publisher, run):
    """The numbers that the producer's file says were accepted."""
    folder = publisher.expect("celery_app_environment")["LEDGER_DIR"]
    lines = publisher.run("sh -c %s", f"cat {folder}/{run}/accepted-*.jsonl")
    return {record["number"] for record in map(json.loads, lines.splitlines()) if record["event"] == "accepted"}


def test_a_queue_with_a_bound_refuses_what_is_too_much_and_loses_nothing(workers, publishers, queues, ledger):
    """Nothing consumes the queue: it fills, and the next publisher gets an error."""
    (host,) = [w for w in workers if "solo" in [program["name"] for program in w.expect("celery_worker_programs")]]
    run = f"bound-{uuid.uuid4()}"
    host.run("supervisorctl stop solo")
    try:
        submit = ["ledger", "submit", "--run", run, "--count", "203", "--queue", "solo"]
        assert publishers[0].app(*submit, seconds=200).rc == 1
        assert queues()["solo"]["messages"] == 200
    finally:
        host.run("supervisorctl start solo")
    numbers = accepted_of(publishers[0], run)
    assert numbers == set(range(1, 201))
    assert {record["number"] for record in ledger(run, len(numbers))} == numbers


def memory_mib(broker):
    """The memory that the broker compares with its watermark."""
    said = broker.host.run("timeout 20 rabbitmqctl --quiet eval 'vm_memory_monitor:get_process_memory().'")
    return int(said.stdout) / 1024**2 if said.rc == 0 else 0


def test_a_flood_without_workers_leaves_the_brokers_their_memory_and_loses_nothing(
    brokers, workers, publishers, ledger, figures
):
    """Queues write to disk, publishers are slowed down, and when the workers are back all that was accepted is done."""
    runs = [f"flood-{uuid.uuid4()}" for _ in range(2)]
    limit = "rabbitmqctl set_vm_memory_high_watermark"
    flood = ["ledger", "submit", "--seconds", "45", "--payload-bytes", "60000", "--queue", "default"]
    for worker in workers:
        worker.run("supervisorctl stop default", seconds=400)
    samples = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        try:
            list(pool.map(lambda broker: broker.run(f"{limit} absolute {WATERMARK_MIB}MiB"), brokers))
            producers = [pool.submit(publishers[0].app, *flood, "--run", run, seconds=400) for run in runs]
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                samples += pool.map(memory_mib, brokers)
                time.sleep(1)
            alarms = [broker.run("rabbitmqctl --quiet eval 'rabbit_alarm:get_alarms().'") for broker in brokers]
        finally:
            own = f"{limit} absolute {brokers[0].expect('rabbitmq_memory_high_watermark')['absolute']}"
            list(pool.map(lambda broker: broker.run(own), brokers))
            for worker in workers:
                worker.run("supervisorctl start default")
        for producer in producers:
            producer.result()
    # Messages on their way are not counted yet when the broker decides.
    assert max(samples) < 1.25 * WATERMARK_MIB
    accepted = [accepted_of(publishers[0], run) for run in runs]
    for run, numbers in zip(runs, accepted, strict=True):
        assert {record["number"] for record in ledger(run, len(numbers), seconds=240)} >= numbers
    figures.append(
        f"flood: {sum(map(len, accepted))} tasks of 60 kB accepted in 45 s, memory at most {max(samples):.0f} MiB"
        f" with a watermark of {WATERMARK_MIB} MiB; alarms at its end: {alarms}"
    )
