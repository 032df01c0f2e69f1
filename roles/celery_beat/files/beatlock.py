"""RedBeat's scheduler, which checks its lock before each task and not only once per loop."""

from redbeat import RedBeatScheduler


class Scheduler(RedBeatScheduler):
    """Sends nothing without the lock.

    A publish may wait for a broker until the lock has expired. By then the standby has taken over the schedule, and the
    tasks that this scheduler still has to send in its loop would be sent twice. LockNotOwnedError ends this scheduler,
    and supervisord starts it again as a standby.
    """

    def maybe_due(self, entry, **kwargs):
        self.lock.extend(int(self.lock_timeout))
        return super().maybe_due(entry, **kwargs)
