import random

import pytest
from celery.result import allow_join_result

from warren_app import tasks


@pytest.fixture
def call(worker):
    """Send a task to the real worker and return its result, or raise its error."""

    def call(task, *args, **kwargs):
        with allow_join_result():
            return task.apply_async(args, kwargs).get(timeout=60)

    return call


def test_task_names_are_stable(worker):
    ours = sorted(name for name in worker.app.tasks if name.startswith("warren_app"))
    assert ours == [
        "warren_app.ledger.part",
        "warren_app.ledger.record",
        "warren_app.ledger.record_once",
        "warren_app.once.index_document",
        "warren_app.once.rebuild_report",
        "warren_app.once.warm_cache",
        "warren_app.tasks.alert",
        "warren_app.tasks.count_words",
        "warren_app.tasks.estimate_pi",
        "warren_app.tasks.fetch_unreliable",
    ]


def test_count_words(call):
    assert call(tasks.count_words, "one two\n three ") == 3
    assert call(tasks.count_words, "") == 0


def test_alert_logs_its_message(worker, caplog):
    # The worker's task loggers say errors only, and pass nothing on to the root logger, where
    # caplog listens.
    caplog.set_level("WARNING", logger=tasks.logger.name)
    tasks.logger.addHandler(caplog.handler)
    try:
        tasks.alert("the tank is empty")
    finally:
        tasks.logger.removeHandler(caplog.handler)
    assert "the tank is empty" in caplog.text


def test_estimate_pi(call):
    random.seed(1)
    result = call(tasks.estimate_pi, 0.001)
    assert result["samples"] >= 10_000
    assert result["pi"] == pytest.approx(3.14159, abs=0.2)


def test_estimate_pi_works_for_the_time_asked(monkeypatch):
    now = iter([0.0, 1.0, 2.9, 3.0])
    monkeypatch.setattr(tasks.time, "monotonic", lambda: next(now))
    assert tasks.estimate_pi(3.0)["samples"] == 30_000


@pytest.mark.parametrize("seconds", [0, -1, 3601, float("nan")])
def test_estimate_pi_is_bounded(call, seconds):
    with pytest.raises(ValueError, match="at most 3600"):
        call(tasks.estimate_pi, seconds)


def test_fetch_at_the_first_try(call):
    assert call(tasks.fetch_unreliable, "s", failure_probability=0.0) == {"source": "s", "tries": 1}


def test_fetch_retries_until_it_succeeds(call, monkeypatch):
    outcomes = iter([0.1, 0.1, 0.9])
    monkeypatch.setattr(tasks.random, "random", lambda: next(outcomes))
    result = call(tasks.fetch_unreliable, "s", failure_probability=0.5, backoff=0)
    assert result == {"source": "s", "tries": 3}


def test_fetch_gives_up(call, monkeypatch):
    tries = []
    monkeypatch.setattr(tasks.random, "random", lambda: tries.append(1) or 0.0)
    with pytest.raises(tasks.SourceUnavailableError, match="s did not answer in 4 tries"):
        call(tasks.fetch_unreliable, "s", failure_probability=1.0, max_tries=4, backoff=0)
    assert len(tries) == 4


def test_fetch_needs_a_try(call):
    with pytest.raises(ValueError, match="max_tries must be at least 1"):
        call(tasks.fetch_unreliable, "s", max_tries=0)


def test_backoff_doubles_and_is_bounded(monkeypatch):
    countdowns = []

    def retry(exc, countdown, max_retries):
        countdowns.append(countdown)
        return exc

    monkeypatch.setattr(tasks.fetch_unreliable, "retry", retry)
    for retries in (0, 1, 2, 10):
        tasks.fetch_unreliable.push_request(retries=retries)
        try:
            with pytest.raises(tasks.SourceUnavailableError):
                tasks.fetch_unreliable.run("s", failure_probability=1.0, backoff=3.0)
        finally:
            tasks.fetch_unreliable.pop_request()
    assert countdowns == [3.0, 6.0, 12.0, 60.0]
