"""Settings in `celery_app_extra_config` are refused where they could cost an accepted task."""

import pytest
from celery.app.defaults import SETTING_KEYS
from celery_settings import KEPT_BY, promise_problems


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task_acks_late": False}, ["`task_acks_late`", "cannot be False", "`celery_app_acks_late: false`"]),
        ({"task_reject_on_worker_lost": None}, ["killed would lose", "`celery_app_reject_on_worker_lost: false`"]),
        ({"broker_transport_options": {"confirm_publish": False}}, ["`broker_transport_options.confirm_publish`"]),
        ({"broker_transport_options": {"max_retries": 3}}, ["`celery_app_publish_retry_max_retries`"]),
        ({"broker_transport_options": {"connect_retries_timeout": 4}}, ["give up before a failover ends"]),
        ({"task_publish_retry": False}, ["fail at once"]),
        ({"task_publish_retry_policy": {"max_retries": 1}}, ["`celery_app_publish_retry_max_retries`"]),
        ({"task_default_delivery_mode": 1}, ["broker that restarts"]),
        ({"task_default_delivery_mode": "transient"}, ["broker that restarts"]),
        ({"task_always_eager": True}, ["end with it"]),
        ({"task_create_missing_queues": True}, ["nobody consumes"]),
        ({"task_queues": {"a": {}}}, ["`celery_app_queues`"]),
        ({"task_routes": {"a": "b"}}, ["`celery_app_queues`"]),
        ({"broker_write_url": "redis://"}, ["`celery_app_broker_urls`"]),
        ({"worker_consumer": "a:B"}, ["not parked"]),
        ({"worker_enable_remote_control": False}, ["the watchdog would kill each worker"]),
        ({"task_annotations": {"*": {"acks_late": False}}}, ["`task_annotations.*.acks_late`"]),
        ({"task_annotations": [{"a": {"reject_on_worker_lost": False}}]}, ["`task_annotations.a.reject_on"]),
    ],
)
def test_what_could_lose_a_task_is_refused(settings, words):
    (said,) = promise_problems(settings)
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"task_ignore_result": False, "worker_prefetch_multiplier": 4, "task_time_limit": 60},
        {"task_acks_late": True, "task_default_delivery_mode": "persistent"},
        {"broker_transport_options": {"confirm_publish": True, "client_properties": {"a": "b"}}},
        {"task_annotations": {"a": {"rate_limit": "10/s"}}},
        {"task_acks_on_failure_or_timeout": False, "worker_cancel_long_running_tasks_on_connection_loss": True},
    ],
)
def test_what_costs_no_task_is_not(settings):
    assert promise_problems(settings) == []


def test_no_password_is_said():
    assert "secret" not in str(promise_problems({"broker_url": "pyamqp://celery:secret@192.0.2.1//"}))


def test_every_setting_that_is_judged_is_one_of_celerys():
    assert KEPT_BY.keys() <= SETTING_KEYS
