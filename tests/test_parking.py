"""What Celery would drop, or repeat forever, is parked with a reason: real workers, with the rendered settings.

Everything is sent at the start, to a worker of each kind of pool; each test looks at one reason.
"""

import json
from pathlib import Path

import pytest
from kombu import Connection, Producer
from rabbitmq import url_of
from shop_project import SCRIPTS, SHOP, Shop, until

pytestmark = pytest.mark.lengthy

NEW = """
@app.task(name="shop.new")
def new():
    ran("new")
"""
HEADERS = {"id": "1", "task": "shop.pay", "lang": "py", "argsrepr": "('a',)", "kwargsrepr": "{}"}


class Parking(Shop):
    """The shop, which parks what has expired, too."""

    def __init__(self, folder, port):
        super().__init__(folder, port, celery_app_park_expired=True)

    def parked(self, *arguments, code=0):
        """What parked.py prints; the chosen ones by the first word of their reason and task."""
        done = self.done("python", SCRIPTS / "parked.py", *arguments)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def runs(self, name):
        file = Path(self.environment["RUNS"]) / name
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture(scope="module")
def rendered(broker, tmp_path_factory):
    rendered = Parking(tmp_path_factory.mktemp("shop"), broker.port)
    yield rendered
    rendered.end()


@pytest.fixture(scope="module", params=["prefork", "threads", "gevent"])
def shop(request, rendered, broker, tmp_path_factory):
    broker.clear()
    shop = rendered
    shop.module.write_text(SHOP)
    shop.environment["RUNS"] = str(tmp_path_factory.mktemp("runs"))
    shop.broker, shop.pool = broker, request.param
    broker.ctl("set_policy", "dead", "^default$", '{"dead-letter-exchange": "warren-parking"}')
    worker = shop.worker(pool=request.param, name=f"{request.param}@here")
    until(lambda: broker.queue("default") == (0, 1))
    # What has expired must find an idle worker: the broker itself would drop it.
    tasks = [("shop.pay", {"expires": -5}), ("shop.new", {}), ("shop.refuse", {})]
    shop.send_all(*tasks, *([("shop.kill", {})] if request.param == "prefork" else []))
    with Connection(*url_of(shop.port)) as connection:
        raw = Producer(connection.default_channel, routing_key="default")
        empty = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
        raw.publish(
            b"\x00", content_type="application/x-nobody", content_encoding="binary", headers={"task": "shop.pay"}
        )
        raw.publish(b"(((", content_type="application/json", content_encoding="utf-8", headers=HEADERS | {"id": "2"})
        raw.publish(b"(((", content_type="application/json", content_encoding="utf-8")
        raw.publish(empty, content_type="application/json", content_encoding="utf-8", headers=HEADERS | {"eta": "soon"})
        raw.publish(b"{}", content_type="application/json", content_encoding="utf-8", priority=1)
    shop.send("shop.pay")
    shop.sent = 9 if request.param == "prefork" else 8
    until(lambda: shop.runs("pay") == 1 and broker.queue("warren-parked") == (shop.sent, 0))
    assert shop.parked("list")["total"] == shop.sent
    yield shop
    worker.terminate()
    worker.wait(timeout=30)
    shop.end()


def test_each_reason_is_said(shop):
    found = shop.parked("list")["parked"]
    reasons = sorted(said["reason"].partition(":")[0] for said in found)
    deaths = ["deaths"] if shop.pool == "prefork" else []
    assert reasons == [
        *deaths,
        "expired",
        "no task",
        "not accepted",
        "not accepted",
        *["not decoded"] * 2,
        "rejected",
        "unknown task",
    ]
    assert {said["queue"] for said in found} == {"default"}
    assert {said["by"] for said in found} == {f"{shop.pool}@here"}
    (unknown,) = [said for said in found if said["task"] == "shop.new"]
    assert unknown["reason"] == f"unknown task: {shop.pool}@here has no task shop.new"


def test_nothing_is_left_in_the_queue(shop):
    waiting = dict(
        line.split()
        for line in shop.broker.ctl("list_queues", "--no-table-headers", "name", "messages").splitlines()
        if "default" in line
    )
    assert waiting == {"default": "0"}


def test_a_task_that_kills_its_process_runs_three_times(shop):
    assert shop.runs("kill") == (3 if shop.pool == "prefork" else 0)
    assert shop.runs("refuse") == 1


def test_options_choose_and_all_others_stay(shop):
    assert [said["task"] for said in shop.parked("list", "--task", "shop.refuse")["parked"]] == ["shop.refuse"]
    assert len(shop.parked("list", "--reason", "not decoded")["parked"]) == 2
    assert shop.parked("list", "--queue", "elsewhere")["parked"] == []
    assert [said["id"] for said in shop.parked("list", "--id", "2")["parked"]] == ["2"]
    known = shop.parked("list", "--known", "shop")["parked"]
    assert {"shop.refuse", "shop.pay"} <= {said["task"] for said in known} and "shop.new" not in {
        said["task"] for said in known
    }
    assert shop.parked("list")["total"] == shop.sent


def test_what_is_sent_again_is_done_by_a_worker_that_knows_it(shop):
    shop.module.write_text(SHOP + NEW)
    worker = shop.worker(name="solo@here")
    until(lambda: shop.broker.queue("default") == (0, 2))
    said = shop.parked("replay", "--reason", "unknown", "--known", "shop")
    assert [(one["task"], one["done"]) for one in said["parked"]] == [("shop.new", True)]
    # The other worker may get it, and park it again.
    until(lambda: shop.runs("new") == 1 or not shop.parked("replay", "--reason", "unknown")["total"])
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert shop.runs("new") == 1
    shop.sent -= 1


def test_what_cannot_be_sent_again_stays(shop):
    with Connection(*url_of(shop.port)) as connection:
        Producer(connection.default_channel).publish(
            b"{}",
            routing_key="warren-parked",
            content_type="application/json",
            content_encoding="utf-8",
            headers={"warren-parked-queue": "gone", "warren-parked-reason": "unknown task: x", "task": "shop.gone"},
        )
    said = shop.parked("replay", "--task", "shop.gone", code=1)["parked"]
    assert said[0]["done"] is False and "gone" in said[0]["error"]
    assert shop.parked("discard", "--task", "shop.gone")["parked"][0]["done"] is True
    assert shop.parked("list")["total"] == shop.sent


def test_what_another_consumer_rejects_is_parked_by_the_broker(shop):
    with Connection(*url_of(shop.port)) as connection:
        channel = connection.default_channel
        channel.queue_declare("default-of-another", durable=True, auto_delete=False)
    shop.broker.ctl("set_policy", "dead", "^default", '{"dead-letter-exchange": "warren-parking"}')
    with Connection(*url_of(shop.port)) as connection:
        Producer(connection.default_channel).publish(
            {"a": 1}, routing_key="default-of-another", headers={"task": "shop.other"}
        )
        channel = connection.default_channel
        until(
            lambda: (
                (message := channel.basic_get("default-of-another"))
                and (channel.basic_reject(message.delivery_tag, False) or True)
            )
        )
    until(lambda: shop.parked("list", "--task", "shop.other")["parked"])
    (said,) = shop.parked("list", "--task", "shop.other")["parked"]
    assert (said["reason"], said["queue"]) == ("rejected: by the broker", "default-of-another")
    assert shop.parked("discard", "--task", "shop.other")["parked"][0]["done"]
