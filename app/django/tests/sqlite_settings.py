"""The site's settings for its unit tests: on SQLite, and without collected static files."""

import os

# The tests bring their own environment; the developer's must not leak in.
os.environ.pop("CELERY_CONFIG_MODULE", None)
os.environ |= {
    "DJANGO_SECRET_KEY": "for-tests",
    "DJANGO_ALLOWED_HOSTS": "testserver",
    "STATIC_ROOT": "/nowhere",
    "PGHOST": "unused",
    "PGUSER": "unused",
    "PGDATABASE": "unused",
}

from warren_site.settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "ATOMIC_REQUESTS": True,
    }
}
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name]  # noqa: F405
