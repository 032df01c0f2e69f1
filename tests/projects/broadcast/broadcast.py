"""A project with a queue of its own, of which each worker gets each message."""

from celery import Celery
from kombu.common import Broadcast

app = Celery("broadcast")
app.config_from_envvar("CELERY_CONFIG_MODULE")
app.conf.task_queues = [Broadcast("everybody")]
