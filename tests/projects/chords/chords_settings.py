"""Settings of Django that are enough for its result backend."""

SECRET_KEY = "of a test"
INSTALLED_APPS = ["django_celery_results"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "results.sqlite3"}}
USE_TZ = True
