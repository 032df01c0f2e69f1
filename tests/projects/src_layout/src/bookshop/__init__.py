"""A project below src, which names its modules of tasks."""

from celery import Celery

app = Celery("bookshop", include=["bookshop.work"])
app.config_from_envvar("CELERY_CONFIG_MODULE")
