"""Django's settings. What differs between deployments comes from the environment, and only that.

Celery's settings are not here: the kit renders them (CELERY_CONFIG_MODULE).
"""

import json
import os

from django.core.exceptions import ImproperlyConfigured


def required(name, meaning):
    """Return an environment variable, or raise a sentence that says what to set."""
    value = os.environ.get(name)
    if not value:
        raise ImproperlyConfigured(f"Set the environment variable {name} to {meaning}.")
    return value


SECRET_KEY = required("DJANGO_SECRET_KEY", "a long random string, the same on every host")
# Earlier keys, as a JSON list: what they have signed, such as sessions, stays valid after the key
# has changed.
SECRET_KEY_FALLBACKS = json.loads(os.environ.get("DJANGO_SECRET_KEY_FALLBACKS", "[]"))
ALLOWED_HOSTS = required(
    "DJANGO_ALLOWED_HOSTS",
    "the host names and addresses that the site is reached by, separated by commas",
).split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "warren_site.pages",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "warren_site.urls"
WSGI_APPLICATION = "warren_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

required("PGHOST", "the address of the PostgreSQL server")
required("PGUSER", "the PostgreSQL user")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        # The other PG* variables are read by PostgreSQL's own client library, so that `psql` and
        # `pg_dump` in the same environment reach the same database.
        "NAME": required("PGDATABASE", "the name of the PostgreSQL database"),
        "OPTIONS": {"connect_timeout": 5},
        "CONN_MAX_AGE": 60,
        # A connection that died with the server is replaced before a request or task uses it.
        "CONN_HEALTH_CHECKS": True,
        # A view is one transaction: tasks that it sends must wait for its end (delay_on_commit).
        "ATOMIC_REQUESTS": True,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = required("STATIC_ROOT", "the folder that collectstatic fills and the site serves")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

USE_TZ = True
TIME_ZONE = "UTC"

# Without this, Django reports errors by mail only.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
