"""What Celery needs for tasks with a countdown or an ETA on quorum queues. The settings install it.

Celery sends such a task through the queues `celery_delayed_*`, in which the brokers keep it until its time has come. It
refuses a countdown below one second: with this, the task goes through the same exchanges, but waits in no queue.
"""

from datetime import UTC, datetime

from celery.app import base
from kombu.transport.native_delayed_delivery import calculate_routing_key

# Where all delays begin.
EXCHANGE = "celery_delayed_27"
# As many bits as there are queues.
LONGEST_SECONDS = 2**28 - 1


def delayed_key(countdown, routing_key):
    """Return the routing key of a task that is to wait so many whole seconds, which may be none."""
    key = calculate_routing_key(max(countdown, 1), routing_key)
    # The delay comes first, a word for each bit, and that of one second is the last of them.
    return key if countdown > 0 else key.replace("1", "0", 1)


def seconds_left(eta):
    """Return how many whole seconds are left until the time in a task's message; 0 if it has none, or no valid one."""
    try:
        due = datetime.fromisoformat(eta)
    except (TypeError, ValueError):
        return 0
    # Celery leaves out the time zone of UTC.
    left = (due if due.tzinfo else due.replace(tzinfo=UTC)) - datetime.now(UTC)
    return max(0, min(int(left.total_seconds()), LONGEST_SECONDS))


def install():
    """Have all programs with these settings use it. Celery has no setting for it."""
    base.calculate_routing_key = delayed_key
