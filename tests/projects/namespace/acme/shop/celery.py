"""An application that finds its modules of tasks."""

from celery import Celery

app = Celery("acme")
app.config_from_envvar("CELERY_CONFIG_MODULE")
app.autodiscover_tasks(["acme.shop"])
