"""No program waits for ever for a broker's answer. The settings install it, as py-amqp has no setting for it.

py-amqp waits without a limit for the answer to a question such as `Channel.Open`. If the answer gets lost while the
connection stays open, a program that sends tasks hangs, and so does a worker that wants to send an event. With this the
connection counts as lost, and Celery and kombu make another one.
"""

from amqp.abstract_channel import AbstractChannel
from amqp.exceptions import RecoverableConnectionError

# A broker waits 30 s at most for another one before it answers, and a worker's watchdog 90 s for the worker.
SECONDS = 45
# A process may load its settings more than once.
wait_for = getattr(AbstractChannel.wait, "without_limit", AbstractChannel.wait)


def install(seconds=SECONDS):
    """Have all channels of this process wait so long where the caller says nothing else."""

    def wait(self, method, callback=None, timeout=None, returns_tuple=False):
        if timeout is not None:
            return wait_for(self, method, callback, timeout, returns_tuple)
        connection = self.connection
        try:
            return wait_for(self, method, callback, seconds, returns_tuple)
        except TimeoutError as error:
            connection.collect()
            raise RecoverableConnectionError(f"no answer from the broker within {seconds} s") from error

    wait.without_limit = wait_for
    AbstractChannel.wait = wait
