"""A project whose import takes IMPORT_SECONDS, as one with many models and libraries does."""

import os
import time

from celery import Celery

time.sleep(float(os.environ["IMPORT_SECONDS"]))
app = Celery("slow")
app.config_from_envvar("CELERY_CONFIG_MODULE")
