"""Tasks on quorum queues: real workers with the rendered settings, and a real broker that has what the kit gives it."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kombu import Connection
from quorum_queues import after_delays, delayed_delivery, of_type
from rabbitmq import url_of
from rabbitmq_objects import rabbitmq_objects_to_import
from shop_project import SCRIPTS, Shop, until

pytestmark = pytest.mark.lengthy

SHOP = """
import os, time
from datetime import UTC, datetime
from pathlib import Path
from celery import Celery
from celery.exceptions import Reject

app = Celery("shop")
app.config_from_envvar("CELERY_CONFIG_MODULE")
RUNS = Path(os.environ["RUNS"])

def ran(task, name):
    waited = time.time() - float(task.request.headers["sent"])
    queue = task.request.delivery_info["routing_key"]
    with (RUNS / "runs").open("a") as runs:
        runs.write(f"{name} {queue} {waited}\\n")

@app.task(name="shop.pay", bind=True)
def pay(self, name):
    ran(self, name)

@app.task(name="shop.again", bind=True)
def again(self, name, countdown):
    ran(self, name)
    if not self.request.retries:
        raise self.retry(countdown=countdown, headers=self.request.headers)

@app.task(name="shop.refuse", bind=True)
def refuse(self, name):
    ran(self, name)
    raise Reject("no", requeue=False)
"""
# Nobody consumes the last one.
QUEUES = ["default", "mail", "shop.mail", "left"]
POLICY = {
    "name": "tasks",
    "pattern": "^(default|mail|shop\\.mail|left)$",
    "priority": 10,
    "definition": {
        "dead-letter-exchange": "warren-parking",
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "delivery-limit": 3,
    },
}


class Quorum(Shop):
    """The shop with quorum queues."""

    def __init__(self, folder, port):
        routes = {"default": ["*"]}
        queues = [{"name": name, "routes": routes.get(name, [])} for name in QUEUES]
        super().__init__(folder, port, celery_app_queue_type="quorum", celery_app_queues=queues)
        self.module.write_text(SHOP)

    def ask(self, task, *args, **options):
        """A task for send_all, with the time at which it is sent."""
        return task, {"args": args, "headers": {"sent": time.time()}, **options}

    def runs(self):
        """For each name the queue and the seconds after the task was sent, of each run."""
        file, found = Path(self.environment["RUNS"]) / "runs", {}
        for line in file.read_text().splitlines() if file.exists() else []:
            name, queue, waited = line.split()
            found.setdefault(name, []).append((queue, float(waited)))
        return found

    def parked(self):
        done = self.done("python", SCRIPTS / "parked.py", "list")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["parked"]


def give(broker, *policies):
    """Give the broker what the kit gives it for quorum queues."""
    delays = delayed_delivery("warren-tasks")
    tasks = {"name": "warren-tasks", "type": "topic", "alternate": "warren-unrouted"}
    exchanges = [
        tasks | {"queues": QUEUES, "bindings": after_delays(QUEUES)},
        {"name": "warren-unrouted", "type": "fanout", "queues": ["warren-parked"]},
        *delays["exchanges"],
    ]
    queues = of_type([{"name": name} for name in [*QUEUES, "warren-parked"]], "quorum") + delays["queues"]

    def lacks():
        has = json.loads(broker.ctl("export_definitions", "-"))
        return rabbitmq_objects_to_import(has, "/", [], policies, queues, exchanges)

    done = broker.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacks()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lacks() == {}


@pytest.fixture(scope="module")
def shop(broker, tmp_path_factory):
    give(broker, POLICY)
    shop = Quorum(tmp_path_factory.mktemp("shop"), broker.port)
    shop.broker = broker
    worker = shop.worker("shop", "threads", "here@here", f"--queues={','.join(QUEUES[:-1])}")
    until(lambda: broker.queue("default") == (0, 1))
    shop.send_all(
        shop.ask("shop.pay", "now"),
        shop.ask("shop.pay", "half", countdown=0.5),
        shop.ask("shop.pay", "three", countdown=3),
        shop.ask("shop.pay", "to-mail", countdown=2, queue="mail"),
        shop.ask("shop.pay", "to-shop-mail", countdown=2, queue="shop.mail"),
        shop.ask("shop.again", "again", 2, queue="mail"),
        shop.ask("shop.again", "again-at-once", 0, queue="mail"),
        shop.ask("shop.again", "again-late", 1, queue="mail", countdown=1),
        shop.ask("shop.refuse", "refused"),
        shop.ask("shop.refuse", "refused-late", countdown=1),
    )
    until(lambda: sum(map(len, shop.runs().values())) == 13 and broker.queue("warren-parked")[0] == 2)
    # Whatever comes twice has come by now.
    time.sleep(2)
    yield shop
    worker.terminate()
    worker.wait(timeout=30)
    shop.end()


def test_each_task_runs_in_its_queue_and_as_often_as_it_should(shop):
    assert {name: [queue for queue, _ in found] for name, found in shop.runs().items()} == {
        **{name: ["default"] for name in ("now", "half", "three", "refused", "refused-late")},
        **{"to-mail": ["mail"], "to-shop-mail": ["shop.mail"]},
        **{name: ["mail", "mail"] for name in ("again", "again-at-once", "again-late")},
    }


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("half", [0.5]),
        ("three", [3]),
        ("to-mail", [2]),
        ("again", [0, 2]),
        ("again-late", [1, 2]),
        ("refused-late", [1]),
    ],
)
def test_no_task_runs_before_its_time(shop, name, seconds):
    waited = [waited for _, waited in shop.runs()[name]]
    assert all(least <= found <= least + 5 for least, found in zip(seconds, waited, strict=True)), waited


def test_what_is_refused_is_parked_also_after_a_delay(shop):
    found = shop.parked()
    assert sorted(said["reason"].partition(":")[0] for said in found) == ["rejected", "rejected"]
    assert {said["queue"] for said in found} == {"default"}


def test_a_task_that_waits_in_its_queue_goes_to_wait_at_the_brokers(shop):
    """Such as one that was sent to a mirrored queue: 30 of them take no other task's place in a worker."""
    due = datetime.now(UTC) + timedelta(seconds=6)
    names = [f"moved-{number}" for number in range(30)]
    with Connection(*url_of(shop.broker.port)) as connection:
        producer = connection.Producer()
        for name, more in [*((name, {"eta": due.isoformat()}) for name in names), ("others", {})]:
            headers = {"task": "shop.pay", "id": str(uuid.uuid4()), "lang": "py", "sent": time.time(), **more}
            body = json.dumps([[name], {}, {}])
            producer.publish(body, routing_key="mail", headers=headers, content_type="application/json")
    until(lambda: "others" in shop.runs())
    assert datetime.now(UTC) < due - timedelta(seconds=2)
    until(lambda: shop.broker.queue("mail")[0] == 0 and all(name in shop.runs() for name in names))
    # Whatever comes twice has come by now.
    time.sleep(2)
    found = [shop.runs()[name] for name in names]
    assert {(len(runs), runs[0][0]) for runs in found} == {(1, "mail")}
    assert all(5 <= waited <= 11 for ((_, waited),) in found), found


def test_a_look_at_what_is_parked_takes_nothing_away(shop):
    for _ in range(5):
        assert len(shop.parked()) == 2


def test_what_the_brokers_give_up_is_parked_also_after_a_delay(shop):
    """What another consumer refuses, and what has come back too often."""
    before = len(shop.parked())
    shop.send_all(
        *(shop.ask("shop.pay", name, queue="left") for name in ("refused", "returned")),
        shop.ask("shop.pay", "refused", queue="left", countdown=1),
    )
    until(lambda: shop.broker.queue("left") == (3, 0))
    with Connection(*url_of(shop.broker.port)) as connection:
        channel = connection.default_channel

        def end(message):
            # A few times more than the limit.
            message.reject(requeue="returned" in message.headers["argsrepr"])

        def emptied():
            if message := channel.basic_get("left"):
                end(channel.message_to_python(message))
            return len(shop.parked()) == before + 3

        until(emptied)
    found = [said["reason"] for said in shop.parked() if said["queue"] == "left"]
    assert sorted(found) == ["delivery_limit: by the broker", "rejected: by the broker", "rejected: by the broker"]
