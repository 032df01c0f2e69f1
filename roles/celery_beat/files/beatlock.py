"""RedBeat's scheduler, which makes sure of its lock before each task and not only once in a loop."""

from redbeat import RedBeatScheduler


class Scheduler(RedBeatScheduler):
    """Sends nothing without the lock.

    A publish may wait for a broker longer than the lock holds. The standby has gone on with the schedule then, and what
    this scheduler has still to send of its loop would be sent twice. LockNotOwnedError ends it, and supervisord starts
    it again as a standby.
    """

    def maybe_due(self, entry, **kwargs):
        self.lock.extend(int(self.lock_timeout))
        return super().maybe_due(entry, **kwargs)
