"""Publish from where somebody waits for it, such as a web request: accepted soon, or an error.

The kit's settings let a publish try again for longer than any failover takes. That is right for a
producer in the background. Whoever waits for a page needs an answer within a stated time, also when
the broker is frozen, or answers each question just before it would be too late.
"""

import contextlib
import os
import socket
import threading
import time

from celery.utils import uuid
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import ProducerPool

RETRY_SECONDS = 0.2
SHORTEST_TRY_SECONDS = 1.0
# Connecting waits for TCP, for TLS where it is used, and for three answers of the broker.
CONNECTING_WAITS = 5
# Where Celery's own pool is switched off. Without one, each publish would end with closing its
# connection, which waits for the broker as well.
DEFAULT_POOL_LIMIT = 10

_pools = {}


class PublishError(OperationalError):
    """The broker did not accept a task in time. It may have the task all the same.

    `task_id`, a str, is the id to publish the task with again. `__cause__` is the last error of the
    broker or of the way to it.
    """

    def __init__(self, task_name, task_id, within, reason):
        super().__init__(
            f"{task_name}[{task_id}] was not accepted within {within:g} s: {reason}. It may be "
            "queued all the same: publish it again with the same id, if it may be done twice."
        )
        self.task_id = task_id


def publish(task, args=(), kwargs=None, *, within=5.0, **options):
    """Publish a task and return when the broker has confirmed it, or raise within a stated time.

    After an error of the broker, or of the way to it, it tries again over a new connection, to the
    next broker URL if there are several. Nothing of it goes on after it has returned or raised. Any
    thread may call it, and any process, also one that was forked from another that called it.

    Two things are not bounded by `within`: the look-up of host names in the broker URLs, and what a
    result backend does for a task that keeps its result, before the task is published.

    :param task: a task of a Celery app.
    :param args: its positional arguments.
    :param kwargs: its keyword arguments, a dict.
    :param within: seconds this may take, more than 0, the wait for a free connection included.
    :param options: those of apply_async, such as `task_id`, except `producer` and `retry`.
    :returns: celery.result.AsyncResult.
    :raises PublishError: when the broker did not confirm in time, or refuses, as with a wrong
        password.
    :raises Exception: what apply_async raises for other reasons, such as wrong arguments.
    """
    deadline = time.monotonic() + within
    task_id = options.setdefault("task_id", uuid())
    # Otherwise a TLS socket waits only as long as it was given for connecting.
    options.setdefault("confirm_timeout", within)
    try:
        producer = _pool(task.app).acquire(block=True, timeout=within)
    except LimitExceeded as error:
        reason = "every connection was in use"
        raise PublishError(task.name, task_id, within, reason) from error
    with producer:
        connection = producer.connection
        while True:
            try:
                return _try(task, args, kwargs, options, producer, deadline)
            except _broker_errors(connection) as error:
                # Another try would be over before it can tell anything.
                if time.monotonic() + 2 * RETRY_SECONDS > deadline:
                    raise PublishError(task.name, task_id, within, error) from error
            time.sleep(RETRY_SECONDS)
            connection.maybe_switch_next()


def _try(task, args, kwargs, options, producer, deadline):
    connection = producer.connection
    try:
        left = max(0, deadline - time.monotonic())
        connection.connect_timeout = left / CONNECTING_WAITS
        connection.ensure_connection(max_retries=0)
        producer.revive(connection)
        left = max(0, deadline - time.monotonic())
        # Not all of it while there is enough for another try, over a connection that may be better.
        seconds = max(left / 2, min(left, SHORTEST_TRY_SECONDS))
        with _cut(connection, seconds):
            return task.apply_async(args, kwargs, producer=producer, retry=False, **options)
    except BaseException:
        # Not close(), which waits for the broker. Never keep it: a confirm that comes late would be
        # taken for that of the next task.
        connection.collect()
        raise


@contextlib.contextmanager
def _cut(connection, seconds):
    """Shut the connection's socket when the block takes longer than `seconds`.

    A publish waits for the broker up to six times (for the channel, the queue, the confirm), and a
    timeout of each wait begins anew with whatever the broker sends.
    """
    sock = getattr(connection.connection, "sock", None)
    was_cut = threading.Event()

    def cut():
        was_cut.set()
        # The memory broker has no socket.
        if sock:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which takes TLS away below the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.start()
    try:
        yield
    except _broker_errors(connection) as error:
        if was_cut.is_set():
            raise TimeoutError(f"no answer for {seconds:.1f} s") from error
        raise
    finally:
        timer.cancel()
        # A cut must not come later, when the connection may be somebody else's.
        timer.join()


def _broker_errors(connection):
    return OperationalError, *connection.connection_errors, *connection.channel_errors


def _pool(app):
    """The producers of this process for `app`.

    Not Celery's pool: others take connections from that without a time limit. Not one pool for all
    processes: after a fork its sockets would belong to two.
    """
    key = app, os.getpid()
    if key not in _pools:
        limit = app.conf.broker_pool_limit or DEFAULT_POOL_LIMIT
        # Celery's settings may have kombu connect again and again, on its own, within a publish.
        options = {"confirm_publish": True, "max_retries": 0}
        connection = app.connection_for_write(transport_options=options)
        _pools.setdefault(key, ProducerPool(connection.Pool(limit), limit=limit))
    return _pools[key]
