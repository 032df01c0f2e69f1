"""The Django example of Warren: a site that checks web pages with Celery tasks."""

# Loaded with Django, so that tasks which the site sends go through this application.
from warren_site.celery import app as celery_app

__all__ = ["celery_app"]
