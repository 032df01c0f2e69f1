"""A worker that parks what Celery would drop, or repeat forever. The settings name its consumer.

A message that cannot be done goes to the queue `warren-parked`, with the reason in its headers, and is acknowledged
only when the broker has confirmed that. Where that fails, it stays in its own queue. Parked are

- a task that the release does not have, and a message that is no task, cannot be decoded, or has content that the
  settings do not accept;
- a task that rejects its message without requeueing it;
- a task whose process has died WARREN_DEATHS times while it ran; until then it goes back to the end of its queue, with
  the count in a header;
- a task that has expired, with WARREN_PARK_EXPIRED.

What another consumer rejects, or a queue with a limit drops, the brokers park: the queues' policy names the exchange
`warren-parking`. They also park what is sent to a queue that is missing, by the exchange `warren-unrouted`, which the
exchange of all tasks names. playbooks/parked.yml lists what is parked, sends it again, or throws it away.
"""

import contextlib
import contextvars
import functools
import time

import remotecontrol
from celery import bootsteps
from celery.exceptions import WorkerLostError
from celery.utils.log import get_logger
from celery.worker import request, state
from kombu import Exchange, Producer, Queue

QUEUE = "warren-parked"
EXCHANGE = "warren-parking"
UNROUTED = "warren-unrouted"
# Why RabbitMQ dead-letters a message. What has expired is what its sender wanted to expire.
BROKER_REASONS = ("rejected", "maxlen", "delivery_limit")
# Those of Celery in which tasks wait for their time on quorum queues.
DELAY_QUEUES = [f"celery_delayed_{level}" for level in range(28)]
# Headers of a parked message: why, of which queue, since when (seconds since the epoch), and by which worker.
REASON, ORIGIN, SINCE, BY = (f"warren-parked-{name}" for name in ("reason", "queue", "since", "by"))
DEATHS = "warren-deaths"
# What Celery's tasks name.
CELERYS_REQUEST = "celery.worker.request:Request"
CELERYS_DELAYS = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
# Properties that a copy must not have: kombu sets the first three, and it would expire, or be refused.
OWN_PROPERTIES = {"application_headers", "content_type", "content_encoding", "delivery_mode", "expiration", "user_id"}
# The worker waits for a publish. Where it fails, the message is still in its queue.
TRIES = 3
CONFIRM_SECONDS = 5
SECONDS_BEFORE_THE_NEXT_TRY = 5
# On quorum queues, a worker itself holds a task whose time is nearer. One that the brokers have held has less than one
# second left, and more where the clocks of two hosts differ.
HELD_SECONDS = 3

logger = get_logger(__name__)
# The task whose message or end the worker is busy with, for the log: name, id and routing key.
handled = contextvars.ContextVar("handled", default=None)


@contextlib.contextmanager
def about(task, task_id, message):
    """Have lines of the log say which task they are about."""
    token = handled.set({"task": task, "id": task_id, "queue": message.delivery_info.get("routing_key")})
    try:
        yield
    finally:
        handled.reset(token)


def on_quorum_queues(app):
    """Return whether the settings are for quorum queues."""
    return app.conf.get("WARREN_QUEUE_TYPE") == "quorum"


def parking_queue(app):
    """Return the parking queue, which is of the type of the task queues."""
    return Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"} if on_quorum_queues(app) else None)


def declare(app, channel):
    """Declare it, where brokers put what they dead-letter, and what takes messages without a queue; connect them."""
    queue, exchange = parking_queue(app)(channel), Exchange(EXCHANGE, type="headers", durable=True)(channel)
    queue.queue_declare()
    exchange.declare()
    Exchange(UNROUTED, type="fanout", durable=True)(channel).declare()
    queue.bind_to(UNROUTED, routing_key=QUEUE)
    deaths = [("reason", reason) for reason in BROKER_REASONS]
    # The first death of a task that has waited for its time was there, and it expires nowhere else.
    deaths += [("queue", name) for name in DELAY_QUEUES] if on_quorum_queues(app) else []
    for what, said in deaths:
        # Only this kind of match looks at headers that begin with x-.
        queue.bind_to(exchange, arguments={"x-match": "any-with-x", f"x-first-death-{what}": said})


@functools.cache
def connections(app):
    """Return connections for publishing with confirms, whatever the client of other publishes is."""
    options = {**app.conf.broker_transport_options, "confirm_publish": True}
    return app.connection_for_read(heartbeat=0, transport_options=options).Pool(2)


def publish(app, message, key, headers, exchange=""):
    """Publish a copy of a message; returns when the broker has confirmed it.

    :param key: its routing key; without an exchange, the name of the queue that it goes straight to.
    :raises Exception: of several kinds, when the broker does not.
    """
    # kombu has decompressed the body, unless that has failed.
    kept = {name: value for name, value in headers.items() if name != "compression" or message.errors}
    properties = {name: value for name, value in message.properties.items() if name not in OWN_PROPERTIES}
    for tries_left in reversed(range(TRIES)):
        with connections(app).acquire(block=True) as connection:
            try:
                with connection.channel() as channel:
                    # The broker confirms a message for a queue that somebody has deleted, too, and drops it.
                    if key == QUEUE:
                        parking_queue(app)(channel).queue_declare()
                    elif not exchange:
                        Queue(key)(channel).queue_declare(passive=True)
                    Producer(channel, auto_declare=False).publish(
                        message.body,
                        exchange=exchange,
                        routing_key=key,
                        headers=kept,
                        content_type=message.content_type or "application/octet-stream",
                        content_encoding=message.content_encoding or "binary",
                        delivery_mode=2,
                        confirm_timeout=CONFIRM_SECONDS,
                        **properties,
                    )
                return
            except (*connection.connection_errors, *connection.channel_errors):
                connection.collect(socket_timeout=1)
                if not tries_left:
                    raise


def park(app, message, reason, queue, by):
    """Publish a copy of a message to the parking queue.

    :raises Exception: of several kinds, when the broker does not confirm it.
    """
    said = {REASON: reason[:500], ORIGIN: queue, SINCE: int(time.time()), BY: by}
    publish(app, message, QUEUE, {**message.headers, **said})
    logger.warning("Parked %s[%s]: %s", message.headers.get("task", "a message"), message.headers.get("id"), reason)


class Consumer(remotecontrol.Consumer):
    """The class that the setting `worker_consumer` names."""

    # The worker's own: a request does not know it.
    current = None

    class Blueprint(remotecontrol.Consumer.Blueprint):
        """Declares the parking queue before tasks are consumed, and no queues for delays, which the brokers have."""

        default_steps = (
            *(step for step in remotecontrol.Consumer.Blueprint.default_steps if step != CELERYS_DELAYS),
            "celeryparking:Parking",
        )

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        Consumer.current = self

    def update_strategies(self):
        """Have Celery make the requests of all tasks that have no class of their own for them."""
        for task in self.app.tasks.values():
            if task.Request == CELERYS_REQUEST:
                task.Request = Request
        super().update_strategies()
        for name, strategy in self.strategies.items():
            self.strategies[name] = functools.partial(self._receive, strategy)

    def _receive(self, strategy, message, *arguments, **options):
        if on_quorum_queues(self.app):
            # A retry looks at it. Celery would send one with a countdown to the queue that the task is routed to, also
            # where it was sent to another one, and the key of a task that has waited begins with its delay.
            message.delivery_info |= {"exchange": "", "routing_key": self.queue_of(message)}
            if self._goes_to_wait(message):
                return None
        with about(message.headers.get("task"), message.headers.get("id"), message):
            return strategy(message, *arguments, **options)

    def _goes_to_wait(self, message):
        """Let a task wait at the brokers whose sender has not done so; tell whether it has gone there.

        Such as one that was sent to a mirrored queue, and moved here. While a worker holds it, it takes fewer others.
        """
        # Celery before 5.5 has not what it imports.
        import celeryquorum

        seconds = celeryquorum.seconds_left(message.headers.get("eta"))
        if seconds < HELD_SECONDS:
            return False
        key = celeryquorum.delayed_key(seconds, message.delivery_info["routing_key"])
        try:
            publish(self.app, message, key, message.headers, celeryquorum.EXCHANGE)
        except Exception:
            logger.exception("A task cannot wait at the brokers until %s; it waits here.", message.headers["eta"])
            return False
        message.ack_log_error(logger, self.connection_errors)
        return True

    @classmethod
    def queue_of(cls, message):
        """Return the name of the queue that a message came from."""
        tags = getattr(cls.current and cls.current.task_consumer, "_active_tags", {})
        names = {tag: name for name, tag in tags.items()}
        return names.get(message.delivery_info.get("consumer_tag"), message.delivery_info.get("routing_key"))

    def _park(self, message, reason):
        try:
            park(self.app, message, reason, self.queue_of(message), self.hostname)
        except Exception:
            logger.exception("Cannot park a message (%s); it goes back to its queue.", reason)
            back = (logger, self.connection_errors, True)
            self.timer.call_after(SECONDS_BEFORE_THE_NEXT_TRY, message.reject_log_error, back)
        else:
            message.ack_log_error(logger, self.connection_errors)

    def on_unknown_task(self, body, message, exc):
        """Park a task that the release does not have."""
        name = message.headers.get("task") or (message.payload or {}).get("task")
        self._park(message, f"unknown task: {self.hostname} has no task {name}")

    def on_unknown_message(self, body, message):
        """Park a message that is no task."""
        self._park(message, "no task: the message names none")

    def on_invalid_task(self, body, message, exc):
        """Park a task that cannot be read, or has content that is not accepted."""
        self._park(message, f"not accepted: {exc!r}")

    def on_decode_error(self, message, exc):
        """Park a message that cannot be decoded."""
        self._park(message, f"not decoded: {exc!r}")


class Parking(bootsteps.StartStopStep):
    """The step of the consumer that declares the parking queue."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, c):
        """Declare it."""
        with c.connection.channel() as channel:
            declare(c.app, channel)


class Request(request.Request):
    """What a worker makes of a task's message."""

    _died = False

    def on_failure(self, exc_info, *arguments, **options):
        """Remember whether the process has died, of what is not the worker's own end."""
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        self._died = isinstance(exc, (WorkerLostError, SystemExit, KeyboardInterrupt)) and not state.should_terminate
        with self._about():
            return super().on_failure(exc_info, *arguments, **options)

    def on_timeout(self, *arguments, **options):
        """Say in the log which task it is."""
        with self._about():
            return super().on_timeout(*arguments, **options)

    def revoked(self):
        """Say in the log which task it is."""
        with self._about():
            return super().revoked()

    def _about(self):
        return about(self.name, self.id, self._message)

    def reject(self, requeue=False):
        """Park the message, or put it back with the count of the processes that have died of it."""
        deaths, most = self._message.headers.get(DEATHS, 0) + 1, self._app.conf.get("WARREN_DEATHS")
        if self.acknowledged or (requeue and not (self._died and most)):
            super().reject(requeue)
        elif not requeue:
            self._leave(self._park, "rejected: the message was rejected without requeueing")
        elif deaths >= most:
            self._leave(self._park, f"deaths: {deaths} processes have died of it")
        else:
            self._leave(self._put_back, deaths)

    def _announce_revoked(self, reason, terminated, signum, expired):
        if expired and self._app.conf.get("WARREN_PARK_EXPIRED") and not self.acknowledged:
            self._leave(self._park, "expired")
        super()._announce_revoked(reason, terminated, signum, expired)

    def _leave(self, move, about):
        """Acknowledge the message when it has moved; where it cannot, it goes back to its queue."""
        try:
            move(about)
        except Exception:
            logger.exception("%s[%s] cannot be moved (%s); it goes back to its queue.", self.name, self.id, about)
            super().reject(requeue=True)
        else:
            self.acknowledge()

    def _park(self, reason):
        park(self._app, self._message, reason, Consumer.queue_of(self._message), self._hostname)

    def _put_back(self, deaths):
        queue = Consumer.queue_of(self._message)
        publish(self._app, self._message, queue, {**self._message.headers, DEATHS: deaths})
