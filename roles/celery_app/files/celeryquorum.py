"""What Celery needs for tasks with a countdown or an ETA on quorum queues. The settings install it.

Celery sends such a task through the queues `celery_delayed_*`, in which the brokers keep it until its time has come.

- It refuses a countdown below one second: such a task goes through the same exchanges, but waits in none of the queues.
- It sends a retry with a countdown to the queue that the task is routed to, also where the task had been sent to
  another one; and what has waited has a routing key that begins with its delay. A message that comes to a worker says
  only the queue that it was in, as one that was sent to that queue itself.
"""

import re

from celery.app import base
from kombu.transport.native_delayed_delivery import MAX_NUMBER_OF_BITS_TO_USE, calculate_routing_key

DELAY = re.compile(rf"^(?:[01]\.){{{MAX_NUMBER_OF_BITS_TO_USE}}}")


def delayed_key(countdown, routing_key):
    """Return the routing key of a task that is to wait so many whole seconds, which may be none."""
    if countdown > 0:
        return calculate_routing_key(countdown, routing_key)
    return "0." * MAX_NUMBER_OF_BITS_TO_USE + DELAY.sub("", routing_key)


def install():
    """Have all programs with these settings use it. Celery has no setting for it."""
    base.calculate_routing_key = delayed_key


def only_the_queue(message):
    """Have a message say that it was sent to its queue, which is what a retry looks at."""
    key = DELAY.sub("", message.delivery_info.get("routing_key") or "")
    message.delivery_info |= {"exchange": "", "routing_key": key}
