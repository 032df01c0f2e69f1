"""Publishing within a bound, over real sockets: to a real RabbitMQ, and to ports that are not one.

Between the app and the broker is a proxy that can be taken away, frozen, slowed down and healed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound
from celery.utils import uuid
from kombu import Connection, Exchange, Queue
from kombu.exceptions import EncodeError, OperationalError
from rabbitmq import free_port, running_rabbitmq, url_of

from warren_app.publish import PublishError, publish

# How much later than its bound a publish may end where everything is slow.
SLACK = 3.0


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory):
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), free_port()) as broker:
        yield broker.port


class Proxy:
    """A TCP proxy in front of the broker, on a separate port.

    Frozen, it takes connections, and passes on what the client sends, but nothing that the broker
    answers. `connections` counts those it took. `delay` is how many seconds later it answers.
    """

    def __init__(self, broker_port):
        self.port = free_port()
        self.connections = 0
        self.delay = 0.0
        self._broker = ("127.0.0.1", broker_port)
        self._ends = []
        self.thaw()
        self.back()

    def freeze(self, after=0):
        """Freeze after so many more answers. A connection that lost one stays frozen."""
        self._answers = after

    def thaw(self):
        self._answers = float("inf")

    def away(self):
        """Refuse connections and end those there are."""
        # close() alone does not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def back(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._run(self._accept, self._listener)

    def cut(self):
        """End the connections there are."""
        while self._ends:
            with contextlib.suppress(OSError):
                self._ends.pop().shutdown(socket.SHUT_RDWR)

    def _run(self, target, *args):
        def run():
            with contextlib.suppress(OSError):
                target(*args)

        threading.Thread(target=run, daemon=True).start()

    def _accept(self, listener):
        while True:
            client, _ = listener.accept()
            broker = socket.create_connection(self._broker)
            self.connections += 1
            self._ends += client, broker
            self._run(self._pump, client, broker)
            self._run(self._pump_answers, broker, client)

    def _pump(self, client, broker):
        while data := client.recv(65536):
            broker.sendall(data)
        broker.shutdown(socket.SHUT_RDWR)

    def _pump_answers(self, broker, client):
        while data := broker.recv(65536):
            self._answers -= 1
            if self._answers < 0:
                # Not forever: a publish that does not end by itself must fail its test.
                time.sleep(20)
                break
            time.sleep(self.delay)
            client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(broker_port):
    proxy = Proxy(broker_port)
    yield proxy
    proxy.away()


@contextlib.contextmanager
def refusing():
    yield free_port()


@contextlib.contextmanager
def black_hole():
    """Takes connections and never answers, as a frozen broker or HAProxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def dropping():
    """Answers no packet: its queue of new connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        with contextlib.suppress(TimeoutError):
            while True:
                filler = stack.enter_context(socket.socket())
                filler.settimeout(0.3)
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


def task_on(*ports, **settings):
    """A task of an app that has the kit's settings for publishing, and its own queue.

    But confirms are not switched on: publish does that itself.
    """
    queue = uuid()
    app = Celery(queue, broker=url_of(*ports), set_as_current=False)
    retries = {"max_retries": 100, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 1}
    app.conf.update(
        broker_connection_timeout=4,
        broker_transport_options=retries | {"connect_retries_timeout": None},
        task_queues=[Queue(queue, Exchange(queue), queue)],
        task_default_queue=queue,
        task_create_missing_queues=False,
        task_routes=[[("*", {"queue": queue, "confirm_timeout": 5})]],
        task_publish_retry_policy=retries,
        task_ignore_result=True,
        **settings,
    )

    @app.task(name="warren_app.nothing", shared=False, lazy=False)
    def nothing(item):
        pass

    return nothing


@pytest.fixture
def ids(broker_port):
    """ids(task): the ids of the tasks in that one's queue, which is empty then."""
    with Connection(*url_of(broker_port)) as connection:

        def take(task):
            channel = connection.channel()
            queue = task.app.amqp.default_queue.bind(channel)
            queue.declare()
            return [message.headers["id"] for message in iter(lambda: queue.get(no_ack=True), None)]

        yield take


@contextlib.contextmanager
def takes(at_least=0.0, at_most=float("inf")):
    """Assert how many seconds the block takes, with slack for a slow machine."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert at_least <= took <= at_most + SLACK


def refused(task, within, **options):
    """Assert that a publish is refused, no later than stated."""
    with takes(at_most=within), pytest.raises(PublishError) as error:
        publish(task, (1,), within=within, **options)
    return error.value


def test_a_task_is_in_its_queue_when_publish_returns(broker_port, ids):
    task = task_on(broker_port)
    first = publish(task, (1,))
    second = publish(task, kwargs={"item": 2}, task_id="mine", countdown=5)
    assert second.id == "mine"
    assert ids(task) == [first.id, "mine"]


def test_the_memory_broker_will_do():
    task = task_on()
    task.app.conf.broker_url = "memory://"
    result = publish(task, (1,))
    with task.app.connection_for_read() as connection:
        message = task.app.amqp.default_queue.bind(connection.channel()).get(no_ack=True)
    assert message.headers["id"] == result.id


@pytest.mark.parametrize("host", [refusing, black_hole, dropping])
def test_without_a_broker_the_caller_is_told_in_time(host):
    with host() as port, takes(at_least=0.5):
        error = refused(task_on(port), within=1, task_id="mine")
    assert error.task_id == "mine"
    assert "warren_app.nothing[mine] was not accepted within 1 s" in str(error)
    # Who handles what apply_async raises handles this, too.
    assert isinstance(error, OperationalError)


def test_nothing_is_published_after_the_caller_was_told(proxy, ids):
    task = task_on(proxy.port)
    proxy.away()
    refused(task, within=0.3)
    proxy.back()
    time.sleep(0.7)
    assert ids(task) == []


# What a first publish waits for: three answers while connecting, then channel, exchange, queue,
# binding, confirm mode, and the confirm.
ANSWERS = 9


def test_the_broker_may_freeze_at_any_moment(broker_port, ids):
    def freeze(after):
        proxy = Proxy(broker_port)
        task = task_on(proxy.port, broker_pool_limit=1)
        proxy.freeze(after)
        lost = refused(task, within=1.5).task_id
        proxy.thaw()
        # The only connection of the pool is of use again.
        return task, lost, publish(task, (2,)).id

    with ThreadPoolExecutor(ANSWERS) as threads:
        frozen = list(threads.map(freeze, range(ANSWERS)))
    for task, _, found in frozen[:-1]:
        assert ids(task) == [found]
    # The broker had this one, though its confirm did not arrive.
    task, lost, found = frozen[-1]
    assert set(ids(task)) == {lost, found}


def test_the_confirm_is_the_last_thing_waited_for(proxy, ids):
    task = task_on(proxy.port)
    proxy.freeze(after=ANSWERS)
    assert publish(task, (1,), within=10).id in ids(task)


def test_a_broker_that_answers_each_question_late_is_too_late_in_sum(proxy):
    """No wait alone is longer than a fifth of the bound."""
    proxy.delay = 0.3
    assert ANSWERS * proxy.delay > 2
    refused(task_on(proxy.port), within=2)


def test_a_connection_that_died_while_idle_is_replaced(proxy, ids):
    task = task_on(proxy.port)
    first = publish(task, (1,))
    proxy.away()
    proxy.back()
    assert ids(task) == [first.id]
    second = publish(task, (1,))
    assert ids(task) == [second.id]


def test_a_broker_that_is_back_in_time_gets_the_task(proxy, ids):
    task = task_on(proxy.port)
    publish(task, (1,), task_id="before")
    proxy.away()
    threading.Timer(2, proxy.back).start()
    with takes(at_least=1.9):
        publish(task, (1,), within=5 + SLACK, task_id="during")
    assert ids(task) == ["before", "during"]


def test_a_client_that_is_freed_of_a_frozen_broker_goes_on(proxy, ids):
    """What HAProxy does: it ends the connections to a broker that fails its checks."""
    task = task_on(proxy.port)
    publish(task, (1,), task_id="before")
    proxy.freeze()

    def free():
        proxy.thaw()
        proxy.cut()

    threading.Timer(1, free).start()
    with takes(at_least=0.9):
        publish(task, (1,), within=5 + SLACK, task_id="during")
    # Twice: the first time its confirm got lost.
    assert set(ids(task)) == {"before", "during"}


def test_a_connection_that_stays_frozen_is_given_up_for_a_new_one(proxy, ids):
    task = task_on(proxy.port)
    publish(task, (1,), task_id="before")
    proxy.freeze()
    threading.Timer(0.5, proxy.thaw).start()
    publish(task, (1,), within=5, task_id="during")
    assert proxy.connections == 2
    assert set(ids(task)) == {"before", "during"}


def test_the_next_url_is_tried_as_well(broker_port, ids):
    with black_hole() as port:
        task = task_on(port, broker_port)
        result = publish(task, (1,), within=5)
    assert ids(task) == [result.id]


def test_threads_that_wait_for_a_connection_are_told_in_time(proxy, ids):
    task = task_on(proxy.port, broker_pool_limit=2)
    proxy.freeze()
    with ThreadPoolExecutor(8) as threads:
        told = [threads.submit(refused, task, within=1.5) for _ in range(2)]
        time.sleep(0.3)
        impatient = [threads.submit(refused, task, within=0.3) for _ in range(2)]
        told += [threads.submit(refused, task, within=1.5) for _ in range(4)]
        for future in impatient:
            assert "every connection was in use" in str(future.result())
        for future in told:
            future.result()
        proxy.thaw()
        found = list(threads.map(lambda n: publish(task, (n,)).id, range(8)))
    assert sorted(ids(task)) == sorted(found)


@pytest.mark.parametrize(
    ("error", "args", "options"),
    [
        (TypeError, (1, 2, 3), {}),
        (QueueNotFound, (1,), {"queue": "nowhere"}),
        (EncodeError, (object(),), {}),
    ],
)
def test_the_callers_own_errors_pass_unchanged(broker_port, ids, error, args, options):
    task = task_on(broker_port, broker_pool_limit=1)
    with takes(at_most=1):
        for _ in range(2):
            with pytest.raises(error) as raised:
                publish(task, args, **options)
            assert not isinstance(raised.value, PublishError)
        result = publish(task, (1,))
    assert ids(task) == [result.id]


def test_a_refused_login_is_the_brokers_error(broker_port):
    task = task_on(broker_port)
    task.app.conf.broker_url = f"pyamqp://guest:wrong@127.0.0.1:{broker_port}//"
    assert "ACCESS_REFUSED" in str(refused(task, within=1))


class Interrupt(BaseException):
    """What a web server raises in a request that takes too long."""


def test_an_interrupted_publish_leaves_no_connection_that_has_a_confirm_to_come(proxy, ids):
    task = task_on(proxy.port, broker_pool_limit=1)
    publish(task, (1,), task_id="before")
    proxy.freeze()

    def interrupt(signum, frame):
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with takes(at_most=0.5), pytest.raises(Interrupt):
            publish(task, (1,), within=10, task_id="during")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    proxy.thaw()
    publish(task, (1,), task_id="after")
    assert proxy.connections == 2
    assert ids(task) == ["before", "during", "after"]


FORK = """
import os, sys
from celery import Celery
from warren_app.publish import publish

broker, queue = sys.argv[1:]
app = Celery(broker=broker)
app.conf.update(task_default_queue=queue, task_ignore_result=True)

@app.task(name="nothing")
def task():
    pass

publish(task, task_id="parent")
child = os.fork()
if not child:
    publish(task, task_id="child")
    os._exit(0)
_, status = os.waitpid(child, 0)
publish(task, task_id="parent again")
sys.exit(status)
"""


def test_a_process_that_was_forked_has_connections_of_its_own(proxy, ids):
    task = task_on(proxy.port)
    subprocess.run(
        [sys.executable, "-c", FORK, *url_of(proxy.port), task.app.conf.task_default_queue],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
        timeout=60,
    )
    assert ids(task) == ["parent", "child", "parent again"]
    assert proxy.connections == 2
