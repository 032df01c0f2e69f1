"""Import a Celery project as a worker would, with all its task modules, and check that it keeps the kit's settings.

Usage: check_app.py MODULE

Exits with 1 and a traceback where the project cannot be imported, or a package is missing that the settings need; with
3 and a sentence where the project does not read the settings of CELERY_CONFIG_MODULE, or has others in their place.
"""

import importlib
import os
import sys

from celery.app.defaults import SETTING_KEYS
from celery.app.utils import find_app
from kombu.compression import get_encoder
from kombu.serialization import prepare_accept_content
from kombu.utils.imports import symbol_by_name

BROKEN_CONTRACT = 3
LINE = 'app.config_from_envvar("CELERY_CONFIG_MODULE")'


def overridden(app, settings):
    """Return the names of those settings that have another value in the application."""
    names = [name for name in vars(settings) if name in SETTING_KEYS]
    return sorted(name for name in names if app.conf.get(name) != getattr(settings, name))


def main():
    """Check it."""
    module = sys.argv[1]
    app = find_app(module)
    app.loader.import_default_modules()
    app.finalize()
    others = overridden(app, importlib.import_module(os.environ["CELERY_CONFIG_MODULE"]))
    # None of the kit's settings has Celery's own value for these two.
    if {"broker_url", "worker_consumer"} <= set(others):
        print(f"{module} does not read the cluster's settings: add the line `{LINE}` to it.", file=sys.stderr)
        return BROKEN_CONTRACT
    if others:
        advice = "Take them out of the project (`Celery(…)`, `app.conf`); set what it needs in the inventory"
        print(
            f"{module} has values of its own for the cluster's settings {', '.join(others)}. {advice}.", file=sys.stderr
        )
        return BROKEN_CONTRACT
    app.backend  # noqa: B018  (looks the result backend up)
    symbol_by_name(app.conf.worker_consumer)
    prepare_accept_content(app.conf.accept_content)
    if app.conf.task_compression:
        get_encoder(app.conf.task_compression)
    return 0


if __name__ == "__main__":
    sys.exit(main())
