"""Serializers and compressions, from a publisher through the broker to a worker and back into the ledger."""

import json
import uuid

import pytest

pytestmark = pytest.mark.cluster

COMPRESSIONS = ["none", "zlib", "bzip2", "zstd"]
# One task of each combination of the serializers and compressions given; every publish is confirmed.
SUBMIT = """
import itertools, sys
from celery.app.utils import find_app
module, run, serializers, compressions = sys.argv[1:]
app = find_app(module)
app.loader.import_default_modules()
record = app.tasks["warren_app.ledger.record"]
for number, (serializer, compression) in enumerate(itertools.product(serializers.split(","), compressions.split(","))):
    record.apply_async(
        (run, number), {"payload": "text " * 400}, queue="default", serializer=serializer,
        compression=None if compression == "none" else compression,
    )
"""


@pytest.fixture
def submit(publisher):
    def submit(run, serializers, compressions):
        arguments = [publisher.expect("celery_app_module"), run, ",".join(serializers), ",".join(compressions)]
        publisher.app_output("python", "-c", SUBMIT, *arguments)

    return submit


def test_every_accepted_serializer_and_compression_arrives(publisher, submit, ledger):
    run = f"messages-{uuid.uuid4()}"
    accepted = {"json", *publisher.expect("celery_app_accept_content")}
    assert accepted == {"json", "msgpack", "yaml"}
    submit(run, sorted(accepted), COMPRESSIONS)
    assert sorted(record["number"] for record in ledger(run, 12)) == list(range(12))


def test_pickle_is_parked_unless_it_is_asked_for(workers, submit, ledger):
    """A worker that does not accept it never unpickles it; the task is parked, and the worker continues."""
    run = f"pickle-{uuid.uuid4()}"
    since = {worker.name: worker.run("sh -c 'wc -c < /var/log/celery/default.log'") for worker in workers}
    submit(run, ["pickle"], ["none"])
    assert ledger(run, 1, seconds=5) == []
    said = "".join(worker.run(f"tail -c +{since[worker.name]} /var/log/celery/default.log") for worker in workers)
    assert "Refusing to deserialize" in said
    (parked,) = workers[0].parked("discard", "--reason", "not accepted")["parked"]
    assert (parked["task"], parked["queue"], parked["done"]) == ("warren_app.ledger.record", "default", True)
    assert workers[0].parked("list")["total"] == 0


# What JSON cannot say; the answer comes to this process and no other.
ASK = """
import sys
from celery.app.utils import find_app

app = find_app(sys.argv[1])
app.loader.import_default_modules()
count_words = app.tasks["warren_app.tasks.count_words"]
print(app.conf.task_serializer, app.conf.task_compression, app.conf.result_backend)
print(count_words.delay(b"one two three").get(timeout=30))
"""


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_pickle_zstd_and_results_by_rpc(publisher, playbook, count_tasks, monitors):
    """What no default is: deployed for workers and publishers, used, and put back.

    A program that was not deployed and starts anew meanwhile starts as before, and is understood by the workers.
    """
    tags = ("playbooks/site.yml", "--tags", "rabbitmq,celery_worker")
    wanted = {
        "celery_app_serializer": "pickle",
        "celery_app_accept_pickle": True,
        "celery_app_compression": "zstd",
        "cluster_result_backend": "rpc",
    }
    try:
        playbook(*tags, "-e", json.dumps(wanted))
        answer = publisher.app_output("python", "-c", ASK, publisher.expect("celery_app_module"))
        assert answer.split() == ["pickle", "zstd", "rpc://", "3"]
        count_tasks(f"pickle-{uuid.uuid4()}", 100, "--payload-bytes", "1000")
        monitors[0].run("supervisorctl restart flower-presence")
        process = monitors[0].pid("flower-presence")
        settings = monitors[0].run(f"sh -c 'tr \\\\0 \\\\n < /proc/{process}/environ | sed -n s/^PYTHONPATH=//p'")
        assert "task_serializer = 'json'" in monitors[0].run(f"cat {settings}/celeryconfig.py")
        # Flower sees every worker.
        playbook("playbooks/health.yml", "--limit", monitors[0].name)
    finally:
        playbook(*tags)
