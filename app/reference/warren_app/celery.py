"""The Celery application; `celery -A warren_app` finds `app` here."""

import os

from celery import Celery

app = Celery("warren_app")

# The whole contract with the kit. The module is imported when the configuration is first needed;
# silent=True only excuses a variable that is not set: one that names a module which cannot be
# imported is an error then.
app.config_from_envvar("CELERY_CONFIG_MODULE", silent=True)

if not os.environ.get("CELERY_CONFIG_MODULE"):
    # Development without a kit. Not Celery(broker=...) and not app.add_defaults(): a value given
    # in either of those ways would win over the kit's configuration.
    app.conf.broker_url = "memory://"

app.autodiscover_tasks(["warren_app", "warren_app.ledger"])
app.autodiscover_tasks(["warren_app"], related_name="once")
