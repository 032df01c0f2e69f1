"""What Celery needs for tasks with a countdown or an ETA on quorum queues. The settings install it.

Celery sends such a task through the queues `celery_delayed_*`, in which the brokers keep it until its time has come. It
refuses a countdown below one second: with this, the task goes through the same exchanges, but waits in no queue.
"""

from celery.app import base
from kombu.transport.native_delayed_delivery import calculate_routing_key


def delayed_key(countdown, routing_key):
    """Return the routing key of a task that is to wait so many whole seconds, which may be none."""
    key = calculate_routing_key(max(countdown, 1), routing_key)
    # The delay comes first, a word for each bit, and that of one second is the last of them.
    return key if countdown > 0 else key.replace("1", "0", 1)


def install():
    """Have all programs with these settings use it. Celery has no setting for it."""
    base.calculate_routing_key = delayed_key
