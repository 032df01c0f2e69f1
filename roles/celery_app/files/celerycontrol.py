"""A Celery application with these settings and without the project: `celery -A celerycontrol inspect ping`.

For whatever asks workers and needs none of the project's tasks. To import a project may take many seconds each time.
"""

import os

from celery import Celery

app = Celery("celerycontrol", config_source=os.environ["CELERY_CONFIG_MODULE"])
# Celery reads the settings when it needs the first one. They say how questions are encoded, so they come first.
app.conf.control_exchange  # noqa: B018  (reads them)
