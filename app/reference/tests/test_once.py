"""Once-only tasks on a real Redis and a real worker; a broker that refuses is a closed port."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time

import pytest
from celery import Celery, states
from celery.exceptions import ImproperlyConfigured
from celery.utils import uuid
from celery_once import AlreadyQueued
from kombu.exceptions import OperationalError
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from warren_app import once
from warren_app.celery import app as reference
from warren_app.once import OnceTask

DEFAULT_TIMEOUT = 100


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """Debian's redis-server on a separate port, without persistence."""
    assert shutil.which("redis-server"), "type: apt-get install redis-server"
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(RedisConnectionError):
                Redis(port=port).ping()
                break
            assert time.monotonic() < deadline and server.poll() is None, "it did not start"
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/1"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def redis(redis_url):
    client = Redis.from_url(redis_url, decode_responses=True)
    client.flushdb()
    return client


def once_setting(redis_url):
    return {
        "backend": "celery_once.backends.Redis",
        "settings": {"url": redis_url, "default_timeout": DEFAULT_TIMEOUT},
    }


def make_app(redis_url, broker="memory://", **settings):
    app = Celery("once", broker=broker, set_as_current=False)
    app.conf.ONCE = once_setting(redis_url)
    app.conf.update(task_publish_retry=False, task_ignore_result=True, **settings)
    return app


@pytest.fixture
def app(redis, redis_url):
    """An app whose queue nobody consumes."""
    app = make_app(redis_url, task_default_queue="idle")
    yield app
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge("idle")


@pytest.fixture
def broken(redis, redis_url):
    """An app whose broker refuses connections."""
    once_only = {"max_retries": 1}
    broker = f"pyamqp://127.0.0.1:{free_port()}//"
    return make_app(redis_url, broker, broker_transport_options=once_only)


def nothing(item, other=0):
    pass


def task_of(app, run=nothing, once=None, **options):
    """A once-only task of this app alone, under a new name."""
    once = once or {"keys": ["item"]}
    return app.task(run, base=OnceTask, name=uuid(), once=once, shared=False, lazy=False, **options)


def the_lock(redis):
    (key,) = redis.keys()
    return key


def test_a_second_submission_is_refused_while_the_first_is_queued(app, redis):
    task = task_of(app)
    first = task.delay(1)
    assert redis.get(the_lock(redis)) == first.id
    with pytest.raises(AlreadyQueued) as refused:
        task.delay(1, other=2)
    assert 0 < refused.value.countdown <= DEFAULT_TIMEOUT
    assert redis.get(the_lock(redis)) == first.id
    task.delay(2)
    assert len(redis.keys()) == 2


def test_a_graceful_task_says_rejected(app, redis):
    task = task_of(app, once={"keys": ["item"], "graceful": True})
    first = task.delay(1)
    assert task.delay(1).state == states.REJECTED
    assert redis.get(the_lock(redis)) == first.id
    with pytest.raises(AlreadyQueued):
        task.apply_async((1,), once={"graceful": False})


def test_the_same_task_id_is_refused_as_well(app, redis):
    task = task_of(app)
    task.apply_async((1,), task_id="mine")
    with pytest.raises(AlreadyQueued):
        task.apply_async((1,), task_id="mine")
    assert redis.get(the_lock(redis)) == "mine"


def test_the_lock_ends_with_its_timeout(app, redis):
    task_of(app, once={"timeout": 7}).delay(1)
    assert 6 < redis.pttl(the_lock(redis)) / 1000 <= 7
    redis.flushdb()
    task_of(app).delay(1)
    assert DEFAULT_TIMEOUT - 1 < redis.pttl(the_lock(redis)) / 1000 <= DEFAULT_TIMEOUT


def test_a_failed_publish_leaves_no_lock(broken, redis):
    task = task_of(broken)
    for _ in range(2):
        with pytest.raises(OperationalError):
            task.delay(1)
        assert redis.keys() == []


def test_a_refused_submission_leaves_the_others_lock(broken, redis):
    task = task_of(broken)
    redis.set(task.get_key((1,)), "another", px=60_000)
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    assert redis.get(the_lock(redis)) == "another"


def test_a_failed_publish_leaves_a_lock_that_another_has_taken_meanwhile(app, redis, monkeypatch):
    """The first one's lock timed out while it was publishing."""
    task = task_of(app)
    key = task.get_key((1,))

    def publish(*args, **options):
        redis.set(key, "another", px=60_000)
        raise OSError("the broker has gone")

    monkeypatch.setattr(app.amqp, "send_task_message", publish)
    with pytest.raises(OSError):
        task.delay(1)
    assert redis.get(key) == "another"


def test_a_lock_that_was_taken_by_a_command_whose_answer_got_lost_is_ours(app, redis, monkeypatch):
    """The client then sends the command again, and the answer is that the lock is held."""
    task = task_of(app)
    acquire = once.Lock.acquire

    def told_that_it_is_held(lock, token):
        acquire(lock, token=token)
        return False

    monkeypatch.setattr(once.Lock, "acquire", told_that_it_is_held)
    submitted = task.delay(1)
    assert redis.get(the_lock(redis)) == submitted.id


def test_without_redis_nothing_is_submitted():
    app = make_app(f"redis://127.0.0.1:{free_port()}/1")
    with pytest.raises(RedisConnectionError):
        task_of(app).delay(1)


def test_without_the_setting_only_a_submission_fails():
    assert "ONCE" not in reference.conf
    for task in (once.rebuild_report, once.warm_cache, once.index_document):
        with pytest.raises(ImproperlyConfigured, match="celery_app_once_redis_url"):
            task.delay("x")
        assert task("x", seconds=0) == "x"
        assert task.apply(("x",), {"seconds": 0}).get() == "x"


@pytest.fixture
def working(redis, redis_url, worker, monkeypatch):
    """working(run, **options): a task that the worker of the other tests does.

    A second worker in this process would end the first one when it stops.
    """
    monkeypatch.setitem(reference.conf.changes, "ONCE", once_setting(redis_url))

    def register(run, **options):
        task = task_of(reference, run, **options)
        worker.consumer.update_strategies()
        return task

    return register


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("fails", [False, True])
def test_the_lock_is_released_when_the_task_has_run(working, redis, fails):
    started, finish = threading.Event(), threading.Event()

    def run(item):
        started.set()
        finish.wait(20)
        if fails:
            raise ValueError

    task = working(run)
    task.delay(1)
    assert started.wait(20)
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    finish.set()
    wait_until(lambda: redis.keys() == [])
    task.delay(1)
    wait_until(lambda: redis.keys() == [])


def test_with_unlock_before_run_one_more_may_be_queued(working, redis):
    started, finish = threading.Semaphore(0), threading.Event()

    def run(item):
        started.release()
        finish.wait(20)

    task = working(run, once={"unlock_before_run": True})
    task.delay(1)
    assert started.acquire(timeout=20)
    second = task.delay(1)
    with pytest.raises(AlreadyQueued):
        task.delay(1)
    # The end of the first one is no reason to release the second one's lock.
    assert redis.get(the_lock(redis)) == second.id
    finish.set()
    assert started.acquire(timeout=20)
    wait_until(lambda: redis.keys() == [])


def test_a_finished_task_leaves_a_lock_that_another_has_taken_meanwhile(working, redis):
    done = threading.Event()

    def run(item):
        redis.set(the_lock(redis), "another", px=60_000)
        done.set()

    working(run).delay(1)
    assert done.wait(20)
    time.sleep(0.5)
    assert redis.get(the_lock(redis)) == "another"


def test_a_retry_keeps_the_lock_and_begins_its_timeout_anew(working, redis):
    seen = []

    def run(self, item):
        key = the_lock(redis)
        seen.append((redis.get(key), self.request.id, redis.pttl(key) / 1000))
        redis.pexpire(key, 30_000)
        raise self.retry(countdown=0.2, max_retries=2, exc=ValueError())

    task = working(run, bind=True)
    submitted = task.delay(1)
    wait_until(lambda: len(seen) == 3)
    wait_until(lambda: redis.keys() == [])
    assert {(lock, task_id) for lock, task_id, _ in seen} == {(submitted.id, submitted.id)}
    assert all(left > 31 for _, _, left in seen)


def test_a_retry_that_cannot_be_published_releases_the_lock(working, redis, monkeypatch):
    """Celery drops the task then."""

    def run(self, item):
        def publish(*args, **options):
            raise OSError("the broker has gone")

        monkeypatch.setattr(self.app.amqp, "send_task_message", publish)
        raise self.retry(countdown=0)

    working(run, bind=True).delay(1)
    wait_until(lambda: redis.keys() == [])
