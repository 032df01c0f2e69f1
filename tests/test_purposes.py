"""The users that the kit's inventory gives a broker, each for one purpose: what they may do, and what is refused."""

import json
import sys
from functools import partial

import pytest
from amqp import AccessRefused
from kit import INVENTORIES
from kombu import Connection, Exchange, Queue
from rabbitmq_objects import rabbitmq_objects_to_import
from shop_project import SCRIPTS, Shop, until
from test_templates import Rendered, load_settings
from urls import broker_urls

sys.path.append(str(SCRIPTS))
from celerylogin import log_in

pytestmark = pytest.mark.lengthy

# A message of each kind that somebody may publish: to an exchange, with a routing key.
TASK = ("warren-tasks", "default")
STRAIGHT = ("", "default")
REMOTE_CONTROL = ("celery.pidbox", "")
TO_ONE_WORKER = ("", "there@there.celery.pidbox")
ANSWER = ("reply.celery.pidbox", "somebody")
EVENT = ("celeryev", "worker.heartbeat")
PARKED = ("", "warren-parked")
PUBLISHES = (TASK, STRAIGHT, REMOTE_CONTROL, TO_ONE_WORKER, ANSWER, EVENT, PARKED)
MAY_PUBLISH = {
    "worker": PUBLISHES,
    "publisher": (TASK,),
    "beat": (TASK,),
    "flower": (REMOTE_CONTROL, ANSWER, EVENT),
}
READS = ("default", "warren-parked", "there@there.celery.pidbox", "celeryev.somebody")
MAY_READ = {"worker": READS, "publisher": (), "beat": (), "flower": ("there@there.celery.pidbox", "celeryev.somebody")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Rendered(
        tmp_path_factory.mktemp("lab"),
        INVENTORIES["lab"],
        cluster_tls=False,
        cluster_vhost="/",
        # As the shop's worker declares it.
        rabbitmq_durable_queues=[{"name": "default"}, {"name": "warren-parked"}],
    )


@pytest.fixture(scope="module")
def urls(lab, broker):
    """The URL of the user of each purpose, at a broker that has all that the role gives one."""
    inputs = lab.inputs["mq1"]
    has = json.loads(broker.ctl("export_definitions", "-"))
    names = ("users", "policies", "durable_queues", "durable_exchanges")
    lacks = rabbitmq_objects_to_import(has, "/", *(inputs[f"rabbitmq_{name}"] for name in names))
    # They would be mirrored, and there is one node.
    del lacks["policies"]
    done = broker.run("rabbitmqctl", "--quiet", "import_definitions", text=json.dumps(lacks))
    assert done.returncode == 0, done.stderr
    found = {
        user["name"].partition("-")[0]: broker_urls(["127.0.0.1"], broker.port, user["name"], user["password"], "/")
        for user in inputs["rabbitmq_users"]
    }
    with Connection(found["worker"][0]) as worker:
        # What a worker and a monitor declare.
        for name, kind in (("celery.pidbox", "fanout"), ("reply.celery.pidbox", "direct"), ("celeryev", "topic")):
            Exchange(name, kind, durable=kind == "topic")(worker.default_channel).declare()
        for name in ("there@there.celery.pidbox", "celeryev.somebody"):
            Queue(name, auto_delete=False)(worker.default_channel).declare()
    return found


def refused(urls, purpose, do):
    """Return whether the broker refuses what is done on a channel of a purpose's user."""
    with Connection(urls[purpose][0], transport_options={"confirm_publish": True}) as connection:
        try:
            do(connection.default_channel)
        except AccessRefused:
            return True
    return False


@pytest.mark.parametrize("purpose", MAY_PUBLISH)
def test_each_publishes_to_what_it_is_for(urls, purpose):
    def publish(channel, exchange, key):
        channel.basic_publish_confirm(channel.prepare_message("{}", content_encoding="utf-8"), exchange, key)

    allowed = [
        place for place in PUBLISHES if not refused(urls, purpose, partial(publish, exchange=place[0], key=place[1]))
    ]
    assert allowed == [place for place in PUBLISHES if place in MAY_PUBLISH[purpose]]


@pytest.mark.parametrize("purpose", MAY_READ)
def test_each_reads_what_it_is_for(urls, purpose):
    reads = {name: not refused(urls, purpose, lambda channel, name=name: channel.basic_get(name)) for name in READS}
    assert reads == {name: name in MAY_READ[purpose] for name in READS}


@pytest.mark.parametrize("purpose", ["publisher", "beat", "flower"])
@pytest.mark.parametrize(
    "do",
    [
        lambda channel: channel.queue_purge("default"),
        lambda channel: channel.queue_delete("default"),
        lambda channel: channel.exchange_delete("warren-tasks"),
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.queue_bind("default", "warren-tasks", "mine"),
        lambda channel: channel.queue_unbind("default", "warren-tasks", "default"),
        lambda channel: channel.exchange_declare("mine", "fanout"),
        lambda channel: channel.exchange_bind("celeryev", "warren-tasks"),
    ],
    ids=["purge", "delete", "delete-exchange", "declare", "bind", "unbind", "declare-exchange", "bind-exchange"],
)
def test_nobody_but_workers_changes_queues_and_exchanges(urls, purpose, do):
    assert refused(urls, purpose, do)


class Sender(Shop):
    """The settings of a host without workers."""

    def __init__(self, folder, port, urls):
        super().__init__(folder, port, celery_app_broker_urls=urls, celery_app_declares_queues=False)


@pytest.fixture
def sender(urls, broker, tmp_path):
    sender = Sender(tmp_path, broker.port, urls["publisher"])
    yield sender
    sender.end()


def test_a_task_that_a_publisher_sends_is_done_by_a_worker(urls, broker, sender, tmp_path):
    sender.send("shop.pay")
    (tmp_path / "worker").mkdir()
    worker = Shop(tmp_path / "worker", broker.port, celery_app_broker_urls=urls["worker"])
    worker.worker()
    try:
        until(lambda: (tmp_path / "worker/pay").exists())
    finally:
        worker.end()


def test_a_task_for_a_queue_that_is_gone_is_parked_and_sent_again(urls, broker, sender, tmp_path):
    with Connection(urls["worker"][0]) as connection:
        channel = connection.default_channel
        channel.queue_purge("warren-parked")
        channel.queue_delete("default")
        sender.send("shop.pay")
        until(lambda: broker.queue("warren-parked") == (1, 0))
        (tmp_path / "worker").mkdir()
        worker = Shop(tmp_path / "worker", broker.port, celery_app_broker_urls=urls["worker"])

        def parked(what):
            done = worker.done("python", SCRIPTS / "parked.py", what)
            return done.returncode, json.loads(done.stdout)["parked"][0]

        code, said = parked("list")
        assert (code, said["queue"], said["task"]) == (0, "default", "shop.pay")
        assert said["reason"] == "no queue: it was missing when the task was sent"
        # As long as there is none, it stays.
        code, said = parked("replay")
        assert code == 1 and "default" in said["error"]
        worker.worker()
        try:
            until(lambda: broker.queue("default") is not None)
            assert parked("replay")[0] == 0
            until(lambda: (tmp_path / "worker/pay").exists())
        finally:
            worker.end()


def test_a_program_with_a_user_of_its_own_keeps_all_other_settings(lab):
    files = dict(lab.files("celeryconfig.py"))
    for path in files.values():
        module, _ = load_settings(path)
        settings = dict(vars(module))
        log_in(settings, ["pyamqp://beat@192.0.2.1//"])
        assert settings.pop("broker_url") == ["pyamqp://beat@192.0.2.1//"]
        assert all(queue.no_declare for queue in settings["task_queues"])
        assert settings == {name: value for name, value in vars(module).items() if name != "broker_url"}
        assert "broker_write_url" not in settings


def test_a_publisher_in_c_publishes_as_that_user():
    settings = {
        "broker_url": ["pyamqp://a"],
        "broker_read_url": ["pyamqp://a"],
        "broker_write_url": ["librabbitmq://a"],
    }
    settings["task_queues"] = []
    log_in(settings, ["pyamqp://b", "pyamqp://c"])
    assert settings["broker_read_url"] == settings["broker_url"] == ["pyamqp://b", "pyamqp://c"]
    assert settings["broker_write_url"] == ["librabbitmq://b", "librabbitmq://c"]
