"""Import a Celery project as a worker would, with all its task modules, and check that it keeps the kit's settings.

Usage: check_app.py MODULE [--child]

Prints what it measures, as JSON:

    import_seconds -- how long the import of the project took
    child_kib -- with --child, the most memory that a process of the pool prefork has had until it can do tasks, which
        is what Celery compares with `worker_max_memory_per_child` after each task; else null

Exits with 1 and a traceback where the project cannot be imported, or a package is missing that the settings need; with
3 and a sentence where the project does not read the settings of CELERY_CONFIG_MODULE, or has others in their place;
with 4 and a sentence where a process of the pool cannot begin.
"""

import importlib
import json
import os
import resource
import select
import signal
import sys
import time

from celery.app.defaults import SETTING_KEYS
from celery.app.utils import find_app
from kombu.compression import get_encoder
from kombu.serialization import prepare_accept_content
from kombu.utils.imports import symbol_by_name

BROKEN_CONTRACT = 3
NO_CHILD = 4
LINE = 'app.config_from_envvar("CELERY_CONFIG_MODULE")'


def overridden(app, settings):
    """Return the names of those settings that have another value in the application."""
    names = [name for name in vars(settings) if name in SETTING_KEYS]
    return sorted(name for name in names if app.conf.get(name) != getattr(settings, name))


def child_kib(app):
    """Begin a process as the pool prefork does, hooks of the project included, and return what memory that took.

    :raises ChildProcessError: when the process ends before, or takes longer than Celery would wait for it.
    """
    # A worker has these too, and its children have what it has.
    importlib.import_module("celery.bin.celery")
    importlib.import_module("celery.apps.worker")
    prefork = importlib.import_module("celery.concurrency.prefork")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            prefork.process_initializer(app, "check_app")
            # Counted from the fork on, and in KiB.
            os.write(writer, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss).encode())
        finally:
            os._exit(0)
    os.close(writer)
    seconds = app.conf.worker_proc_alive_timeout
    ready, _, _ = select.select([reader], [], [], seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not ready:
        raise ChildProcessError(
            f"needs more than {seconds} s to begin, and Celery would kill each one: set "
            "`celery_app_start_timeout_seconds` to much more than it needs, or do less in `worker_process_init`"
        )
    if not (said := os.read(reader, 99)):
        raise ChildProcessError("ends before it can do a task")
    return int(said)


def main():
    """Check it."""
    module, measures_child = sys.argv[1], sys.argv[2:] == ["--child"]
    # What the project prints is no JSON.
    out = os.dup(1)
    os.dup2(2, 1)
    started = time.monotonic()
    app = find_app(module)
    app.loader.import_default_modules()
    app.finalize()
    measured = {"import_seconds": round(time.monotonic() - started, 1), "child_kib": None}
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
    if measures_child:
        try:
            measured["child_kib"] = child_kib(app)
        except ChildProcessError as error:
            print(f"A process of its pool {error}.", file=sys.stderr)
            return NO_CHILD
    os.write(out, json.dumps(measured).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
