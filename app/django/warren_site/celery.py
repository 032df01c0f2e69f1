"""The Celery application; `celery -A warren_site` finds it."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "warren_site.settings")

app = Celery("warren_site")

# The whole contract with the kit. silent=True only excuses a variable that is not set: one that
# names a module which cannot be imported is an error.
app.config_from_envvar("CELERY_CONFIG_MODULE", silent=True)

if not os.environ.get("CELERY_CONFIG_MODULE"):
    # Development without a kit. Not Celery(broker=...): that would win over the kit's settings.
    app.conf.broker_url = "memory://"

# The tasks of every installed Django application.
app.autodiscover_tasks()
