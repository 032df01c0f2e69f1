"""Fixtures: the app on the memory broker, a ledger folder of one's own, a real worker."""

import os

import pytest
from celery.contrib.testing.worker import start_worker

# The tests bring their own configuration; the developer's must not leak in.
for variable in ("CELERY_CONFIG_MODULE", "CELERY_BROKER_URL", "LEDGER_DIR"):
    os.environ.pop(variable, None)

from warren_app.celery import app  # noqa: E402

app.conf.result_backend = "cache+memory://"


@pytest.fixture
def ledger_dir(tmp_path, monkeypatch):
    """The folder of all runs, set as LEDGER_DIR; not created yet."""
    folder = tmp_path / "ledger"
    monkeypatch.setenv("LEDGER_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def worker():
    """A worker in a thread of this process, consuming from the memory broker."""
    app.loader.import_default_modules()
    with start_worker(app, perform_ping_check=False, shutdown_timeout=30.0) as running:
        yield running
