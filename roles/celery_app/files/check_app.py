"""Import a Celery project as a worker would, with its settings and all its task modules.

A traceback shows what fails: the project's code, or a package that the settings need and the release lacks.

Usage: check_app.py MODULE
"""

import sys

from celery.app.utils import find_app
from kombu.compression import get_encoder
from kombu.serialization import prepare_accept_content
from kombu.utils.imports import symbol_by_name

app = find_app(sys.argv[1])
app.loader.import_default_modules()
app.finalize()
app.backend  # noqa: B018  (looks the result backend up)
symbol_by_name(app.conf.worker_consumer)
prepare_accept_content(app.conf.accept_content)
if app.conf.task_compression:
    get_encoder(app.conf.task_compression)
