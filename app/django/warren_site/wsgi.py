"""The entry point of web servers: `gunicorn warren_site.wsgi`."""

from django.core.wsgi import get_wsgi_application

# Importing the package has named the settings (celery.py).
application = get_wsgi_application()
