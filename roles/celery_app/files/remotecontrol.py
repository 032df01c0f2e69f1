"""Celery's consumer, but for gevent and eventlet workers, whose remote control survives the loss of its connection.

Celery gives the remote control of these workers a connection of its own, and ends its loop with the first error there.
Where the tasks' connection lives on, as in a cluster that lost one broker, nothing starts the loop again: the worker
does its tasks and answers no `inspect ping`.
"""

import contextlib
import threading

from celery.utils.log import get_logger
from celery.worker import consumer, pidbox
from celery.worker.consumer import control

# Before the first try to connect again, twice as long before each further one, and at most.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 8
# A worker that stops, or reconnects its tasks, waits for a try under way. Celery takes away the setting with gevent.
CONNECT_SECONDS = 4

logger = get_logger(__name__)


class Pidbox(pidbox.gPidbox):
    """Connects again, to the next broker URL, for as long as Celery has not stopped it."""

    def start(self, c):
        # Celery makes them in the loop, which then misses a stop that comes before it has begun.
        self._node_shutdown, self._node_stopped = threading.Event(), threading.Event()
        c.pool.spawn_n(self.loop, c, self._node_shutdown, self._node_stopped)

    def loop(self, c, shutdown, stopped):
        connection = c.app.connection_for_read(connect_timeout=CONNECT_SECONDS)
        wait = FIRST_WAIT_SECONDS
        try:
            while not shutdown.is_set():
                try:
                    connection.ensure_connection(max_retries=0)
                    logger.info("pidbox: Connected to %s.", connection.as_uri())
                    self._do_reset(c, connection)
                    wait = FIRST_WAIT_SECONDS
                    self._answer(c, connection, shutdown)
                # Whatever it is: without this loop the worker is deaf.
                except Exception as error:
                    logger.warning("pidbox: %r; connecting again in %s s.", error, wait)
                    connection.collect()
                    connection.maybe_switch_next()
                    # Of the lost connection; Celery would close them through it.
                    self.consumer = self.node.channel = None
                    shutdown.wait(wait)
                    wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        finally:
            connection.release()
            stopped.set()

    def _answer(self, c, connection, shutdown):
        resets = self._resets
        while not shutdown.is_set():
            if resets < self._resets:
                resets = self._resets
                self._do_reset(c, connection)
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1.0)


class Control(control.Control):
    """The step of the consumer that starts and stops the remote control."""

    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = Pidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown


class Consumer(consumer.Consumer):
    """What the setting `worker_consumer` names."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = tuple(
            Control if step == "celery.worker.consumer.control:Control" else step
            for step in consumer.Consumer.Blueprint.default_steps
        )
