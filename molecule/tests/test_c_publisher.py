"""Publishing through librabbitmq on the publisher hosts; whatever consumes stays with py-amqp."""

import json
import uuid

import pytest

pytestmark = pytest.mark.cluster

TRANSPORTS = (
    "from warren_app.celery import app; "
    "print(app.connection_for_write().transport_cls, app.connection_for_read().transport_cls)"
)


@pytest.fixture(scope="module")
def c_publisher(publishers, playbook):
    """The first publisher host with cluster_c_publisher, and everything as it was at the end."""
    publisher = publishers[0]
    if publisher.expect("celery_app_broker_tls"):
        pytest.skip("librabbitmq knows no TLS")
    only = ("playbooks/site.yml", "--limit", publisher.name, "--tags", "celery_app")
    wanted = {"celery_app_confirm_publish": False, "cluster_c_publisher": True}
    try:
        playbook(*only, "-e", json.dumps(wanted))
        yield publisher
    finally:
        playbook(*only)


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_tasks_published_through_librabbitmq_are_done(c_publisher, count_tasks):
    assert c_publisher.app_output("python", "-c", TRANSPORTS).split() == ["librabbitmq", "pyamqp"]
    # What `ledger submit` prints of its own process: the C library is loaded, and the connection is of its kind.
    maps = (
        "from warren_app.celery import app; from warren_app.tasks import count_words; count_words.delay(''); "
        "print(any('_librabbitmq' in line for line in open('/proc/self/maps')), "
        "type(app.pool.acquire().connection).__module__)"
    )
    assert c_publisher.app_output("python", "-c", maps).split() == ["True", "kombu.transport.librabbitmq"]
    done = count_tasks(f"c-publisher-{uuid.uuid4()}", 500, submit_on=c_publisher)
    assert sum(done.values()) == 500


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_the_celery_command_still_gets_answers(c_publisher, workers):
    """It consumes them on the connection that it publishes with."""
    module = c_publisher.expect("celery_app_module")
    answers = json.loads(
        c_publisher.app_output("celery", "-A", module, "inspect", "stats", "--json", "--timeout=10", seconds=90)
    )
    # Their `broker.transport` is no evidence: Celery says `amqp` of both clients.
    assert set(answers) >= {
        f"{program['name']}@{host.name}" for host in workers for program in host.expect("celery_worker_programs")
    }


@pytest.mark.disruptive
@pytest.mark.lengthy
def test_every_consumer_is_of_py_amqp(c_publisher, brokers):
    """As RabbitMQ sees them: librabbitmq introduces itself as another product."""
    vhost = brokers[0].expect("rabbitmq_vhost")
    products = {}
    for connection in json.loads(
        brokers[0].run("rabbitmqctl --quiet --formatter json list_connections pid client_properties")
    ):
        properties = connection["client_properties"]
        properties = {name: value for name, *_, value in properties} if isinstance(properties, list) else properties
        products[connection["pid"]] = properties["product"]
    consumers = json.loads(brokers[0].run(f"rabbitmqctl --quiet --formatter json list_consumers -p {vhost}"))
    channels = json.loads(brokers[0].run("rabbitmqctl --quiet --formatter json list_channels pid connection"))
    connection_of = {channel["pid"]: channel["connection"] for channel in channels}
    assert consumers
    assert {products[connection_of[consumer["channel_pid"]]] for consumer in consumers} == {"py-amqp"}
