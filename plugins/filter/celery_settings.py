"""Ansible's filters about settings of Celery.

`promise_problems` finds those with which accepted tasks could be lost, `login_settings` makes those of a program that
has a user of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

QUEUES = "set `celery_app_queues`"
BROKERS = "set `celery_app_broker_urls`"
RETRIES = "set `celery_app_publish_retry_max_retries` and the two inputs beside it"
ACKS = "leave it out, or accept the loss with `celery_app_acks_late: false`"
REJECT = "leave it out, or accept the loss with `celery_app_reject_on_worker_lost: false`"
CONFIRMS = "leave it out, or accept the loss with `celery_app_confirm_publish: false`"
LEAVE = "leave it out"

# Settings that keep the promise with these values only, what else would happen, and what to do instead. Other settings
# cost no task: with `task_acks_on_failure_or_timeout: false`, or a content that is not accepted, a task is parked; a
# worker that gives up reconnecting is started again; `worker_prefetch_multiplier`, time limits and
# `worker_cancel_long_running_tasks_on_connection_loss` decide who does a task, and when.
KEPT_BY: dict[str, tuple[list, str, str]] = {
    "task_acks_late": ([True], "a worker that dies would lose its tasks", ACKS),
    "task_reject_on_worker_lost": ([True], "a pool process that is killed would lose its task", REJECT),
    "task_publish_retry": ([True], "a publish during a failover would fail at once", LEAVE),
    "task_publish_retry_policy": ([], "the kit's would be replaced", RETRIES),
    "task_default_delivery_mode": ([2, "persistent"], "a broker that restarts would lose its tasks", LEAVE),
    "task_always_eager": ([False], "tasks would run in whatever sends them, and end with it", LEAVE),
    "task_create_missing_queues": ([False], "tasks would go to queues that nobody consumes", LEAVE),
    "task_queues": ([], "tasks would go to queues that nobody consumes", QUEUES),
    "task_routes": ([], "publishers would wait for a confirm forever", QUEUES),
    "task_default_queue": ([], "tasks would go to queues that nobody consumes", QUEUES),
    "broker_url": ([], "tasks would go to another broker", BROKERS),
    "broker_read_url": ([], "workers would read from another broker", BROKERS),
    "broker_write_url": ([], "tasks would go to another broker", BROKERS),
    "result_backend": ([], "results would go where nothing is prepared for them", "set `cluster_result_backend`"),
    "worker_consumer": ([], "what cannot be done would be dropped, and not parked", LEAVE),
    "worker_enable_remote_control": ([True], "the watchdog would kill each worker, as it gives no answer", LEAVE),
}
# The same within `broker_transport_options`, which are put beside the kit's.
KEPT_BY_OPTION: dict[str, tuple[list, str, str]] = {
    "confirm_publish": ([True], "a publish to a dying broker would be lost", CONFIRMS),
    **dict.fromkeys(
        ["max_retries", "interval_start", "interval_step", "interval_max"], ([], "the kit's would be replaced", RETRIES)
    ),
    "connect_retries_timeout": ([None], "a publish would give up before a failover ends", LEAVE),
}
# The same within `task_annotations`, for one task or all.
OF_A_TASK = ("acks_late", "reject_on_worker_lost")


def promise_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting of `celery_app_extra_config` with which accepted tasks could be lost."""
    unfit = list(_unfit(settings))
    return unfit or [
        # What can have no value at all may have a password in it.
        f"`{name}` in `celery_app_extra_config` cannot be {repr(value) if kept else 'there'}, as {what}: {instead}."
        for name, value, (kept, what, instead) in _governed(settings)
        if value not in kept
    ]


def login_settings(urls: list[str]) -> str:
    """Return the module of settings of a program that logs in to the brokers with URLs of its own.

    It takes all other settings from `celeryconfig`, beside which roles/celery_app puts `celerylogin`.

    :param urls: empty for those of `celeryconfig`.
    """
    lines = ["from celeryconfig import *  # noqa: F403"]
    if urls:
        lines += ["from celerylogin import log_in as _log_in", "", f"_log_in(globals(), {urls!r})"]
    return "\n".join(lines) + "\n"


def _unfit(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting that is no mapping, and should be one."""
    given = settings.get("task_annotations") or {}
    entries = [
        ("broker_transport_options", settings.get("broker_transport_options") or {}),
        *(("task_annotations", one) for one in (given if isinstance(given, list) else [given])),
    ]
    for name, value in entries:
        inner = value.values() if isinstance(value, Mapping) and name == "task_annotations" else []
        if not isinstance(value, Mapping) or not all(isinstance(one, Mapping) for one in inner):
            shape = "{TASK: {OPTION: VALUE}}" if name == "task_annotations" else "{OPTION: VALUE}"
            yield f"`{name}` in `celery_app_extra_config` is no mapping: write it as {shape}."


def _governed(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any, tuple[list, str, str]]]:
    """Yield each setting on which the promise depends: its name, its value, and what is said of it above."""
    yield from ((name, value, KEPT_BY[name]) for name, value in settings.items() if name in KEPT_BY)
    options = settings.get("broker_transport_options") or {}
    for name, value in options.items():
        if name in KEPT_BY_OPTION:
            yield f"broker_transport_options.{name}", value, KEPT_BY_OPTION[name]
    given = settings.get("task_annotations") or {}
    for annotations in given if isinstance(given, list) else [given]:
        for task, attributes in annotations.items():
            for name in OF_A_TASK:
                if name in attributes:
                    yield f"task_annotations.{task}.{name}", attributes[name], KEPT_BY[f"task_{name}"]


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"promise_problems": promise_problems, "login_settings": login_settings}
