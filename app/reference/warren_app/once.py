"""Tasks that are queued at most once at a time: celery_once, with locks that know whose they are.

celery_once takes a lock in Redis when a task is submitted and deletes it, by its name alone, when
the task has run. Two things go wrong with that: a submission whose publish fails leaves its lock
behind until the timeout, and whoever deletes a lock may delete that of another submission, which
took it after the first one's had timed out. Here the id of the task is the lock's value: a lock is
released by its own task only, and when the publish fails.
"""

import time

from celery import states
from celery.exceptions import ImproperlyConfigured
from celery.result import EagerResult
from celery.utils import uuid
from celery.utils.log import get_task_logger
from celery_once import AlreadyQueued, QueueOnce
from redis import Redis, RedisError
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock

from warren_app.celery import app

logger = get_task_logger(__name__)
_clients = {}


class OnceTask(QueueOnce):
    """Base class of a task that AlreadyQueued refuses while the same one is queued or running.

    The options of the task's `once` are those of celery_once: `keys` (the arguments that make two
    submissions the same, all by default), `timeout` (seconds until the lock ends by itself),
    `graceful` (return a rejected result, whose id is None, instead of raising) and
    `unlock_before_run` (the lock covers waiting, not running). Only apply_async and delay take
    locks: app.send_task does not.

    A worker that is killed in the middle of the task leaves the lock until the broker has delivered
    the task again and that has finished. Only the timeout ends the lock of a task that ends without
    Celery's after_return: revoked, expired, ignored, rejected, or killed by its hard time limit. So
    `timeout` must exceed the longest wait and run of one try. A task that retries itself must keep
    the arguments that are in `keys`.
    """

    abstract = True

    @property
    def once_config(self):
        """The setting ONCE, which the kit renders where there is a Redis for locks."""
        try:
            return self.config.ONCE
        except AttributeError:
            raise ImproperlyConfigured(
                f"{self.name} needs a Redis for its lock, and the setting ONCE names none: set "
                "celery_app_once_redis_url in the inventory, or ONCE in your own configuration."
            ) from None

    def apply_async(self, args=None, kwargs=None, **options):
        """Submit the task, unless the same one is queued or running.

        When the publish fails, the lock is released before the error goes on. An error does not
        prove that the broker has no message (a confirm may have timed out), so a caller who then
        submits again may have the task done twice, as with any task. The other choice, keeping the
        lock, would refuse a task that nobody will do until the timeout.

        :raises AlreadyQueued: when the same task is queued or running and `graceful` is not set.
        :raises ImproperlyConfigured: without the setting ONCE.
        :raises redis.RedisError: when Redis does not answer; then nothing is submitted.
        """
        once = self.once | options.pop("once", {})
        timeout = once.get("timeout", self.default_timeout)
        key = self.get_key(args, kwargs)
        given_id = options.get("task_id")
        owner = options["task_id"] = given_id or uuid()
        if options.get("retries"):
            # The task holds its lock already. Its timeout starts anew with each try.
            self._lock_safely("prolong", key, owner, lambda lock: lock.do_reacquire(), timeout)
        else:
            try:
                self._take(key, owner, timeout, given_id is None)
            except AlreadyQueued:
                if once.get("graceful"):
                    return EagerResult(None, None, states.REJECTED)
                raise
        try:
            return super(QueueOnce, self).apply_async(args, kwargs, **options)
        except BaseException:
            # A retry that cannot be published ends the task, so its lock goes, too.
            self._release(key, owner)
            raise

    def __call__(self, *args, **kwargs):
        """Run the task; with `unlock_before_run` the next one may be queued from here on."""
        if self.unlock_before_run() and not self.request.called_directly:
            self._release(self.get_key(args, kwargs), self.request.id)
        return super(QueueOnce, self).__call__(*args, **kwargs)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        """Release the lock when the task has succeeded or failed; a retry is neither."""
        if not self.unlock_before_run():
            self._release(self.get_key(args, kwargs), task_id)

    def _redis(self):
        url = self.once_config["settings"]["url"]
        if url not in _clients:
            _clients[url] = Redis.from_url(url)
        return _clients[url]

    def _take(self, key, owner, timeout, owner_is_new):
        redis = self._redis()
        try:
            taken = Lock(redis, key, timeout=timeout, blocking=False).acquire(token=owner)
        except RedisError:
            # The answer is missing; the lock may have been taken all the same.
            self._release(key, owner)
            raise
        # The client repeats a command whose answer got lost: then the first one took the lock.
        if not taken and not (owner_is_new and redis.get(key) == owner.encode()):
            raise AlreadyQueued(max(0, redis.pttl(key)) / 1000)

    def _release(self, key, owner):
        self._lock_safely("release", key, owner, lambda lock: lock.do_release(owner))

    def _lock_safely(self, verb, key, owner, action, timeout=None):
        """Do something to a lock if `owner` still holds it. Trouble with Redis fails no task: the
        lock ends with its timeout."""
        try:
            lock = Lock(self._redis(), key, timeout=timeout, thread_local=False)
            lock.local.token = owner
            action(lock)
        except LockNotOwnedError:
            pass
        except (RedisError, ImproperlyConfigured) as error:
            logger.warning("cannot %s the lock %s: %s", verb, key, error)


# The three differ in what a second submission meets. Each is the same task as another one when its
# first argument is the same, whatever the others are, and its lock ends after ten minutes at most.


@app.task(
    base=OnceTask, name="warren_app.once.rebuild_report", once={"keys": ["report"], "timeout": 600}
)
def rebuild_report(report, seconds=1.0):
    """Work for `seconds` on a report. A second submission for it raises AlreadyQueued."""
    time.sleep(seconds)
    return report


@app.task(
    base=OnceTask,
    name="warren_app.once.warm_cache",
    once={"keys": ["page"], "timeout": 600, "graceful": True},
)
def warm_cache(page, seconds=1.0):
    """Work for `seconds` on a page. A second submission for it is dropped in silence."""
    time.sleep(seconds)
    return page


@app.task(
    base=OnceTask,
    name="warren_app.once.index_document",
    once={"keys": ["document"], "timeout": 600, "graceful": True, "unlock_before_run": True},
)
def index_document(document, seconds=1.0):
    """Work for `seconds` on a document. One more may be queued while this one runs, as the document
    may have changed since this one read it."""
    time.sleep(seconds)
    return document
