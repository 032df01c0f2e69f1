"""Import a Celery project as a worker would, with all its task modules; the traceback of what fails is its output.

Usage: check_app.py MODULE
"""

import sys

from celery.app.utils import find_app

app = find_app(sys.argv[1])
app.loader.import_default_modules()
app.finalize()
