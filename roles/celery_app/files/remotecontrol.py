"""A consumer whose remote control survives the loss of its connection, and whose news waits for no broker.

In gevent and eventlet workers, Celery uses a separate connection for remote control, and ends its loop at the first
error there. If the connection for tasks survives, as in a cluster that has lost one broker, nothing starts the loop
again: the worker runs its tasks but does not answer `inspect ping`.

In all workers, Celery would have each event, and each answer to a command, confirmed where tasks are, and the worker
would do nothing until then: for ever, if the confirm is lost.
"""

import contextlib
import copy
import gc
import signal
import sys
import threading
import traceback

from celery.utils.log import get_logger
from celery.worker import consumer, pidbox
from celery.worker.consumer import control
from kombu import pools

# The wait before the first try to reconnect; it doubles before each further try, up to the second value.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 8
# A worker that stops or reconnects waits for the current try. With gevent, Celery removes its setting for this timeout.
CONNECT_SECONDS = 4

UNCONFIRMED = {"confirm_publish": False}

logger = get_logger(__name__)


class Pidbox(pidbox.gPidbox):
    """Reconnects, to the next broker URL, until Celery stops it."""

    def start(self, c):
        signal.signal(signal.SIGUSR1, write_stacks)
        # Celery creates these in the loop, so a stop that comes before the loop begins would be missed.
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
                # Any error: without this loop the worker cannot be reached.
                except Exception as error:
                    logger.warning("pidbox: %r; connecting again in %s s.", error, wait)
                    connection.collect()
                    connection.maybe_switch_next()
                    # These belong to the lost connection, through which Celery would close them.
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


def write_stacks(*_):
    """Write to the log where each greenlet stands, when SIGUSR1 asks for it. Celery's own handler knows threads."""
    # Workers of other pools have no such package.
    from greenlet import greenlet

    print("==== Where each greenlet stands ====", file=sys.__stderr__)
    for found in gc.get_objects():
        # Without a frame are those that have not begun or have ended.
        if isinstance(found, greenlet) and found.gr_frame:
            print("".join(traceback.format_stack(found.gr_frame)), file=sys.__stderr__)
    # The one that this has interrupted.
    traceback.print_stack(file=sys.__stderr__)
    sys.__stderr__.flush()


class Control(control.Control):
    """The step of the consumer that starts and stops remote control."""

    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = Pidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
        # For answers only: commands that a task sends keep their confirms.
        mailbox = self.box.node.mailbox = copy.copy(self.box.node.mailbox)
        mailbox._producer_pool = pools.producers[c.app.connection_for_write(transport_options=UNCONFIRMED)]


class Consumer(consumer.Consumer):
    """The class that the setting `worker_consumer` names."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = tuple(
            Control if step == "celery.worker.consumer.control:Control" else step
            for step in consumer.Consumer.Blueprint.default_steps
        )

    def connection_for_write(self, url=None, heartbeat=None):
        """The connection for events. Celery makes no other with this."""
        return self.ensure_connected(
            self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=UNCONFIRMED)
        )
