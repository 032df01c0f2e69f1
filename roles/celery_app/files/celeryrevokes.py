"""Where a worker with `--statedb` keeps its revokes. The settings put it in the place of Celery's own class.

Celery's is a database of Python's dbm, which is written when the worker ends by itself: a killed worker forgets its
revokes. Debian's dbm is Berkeley DB, and with a damaged file the worker ends at each start, before it logs a line.

Here the file has a line for each revoked task, its id in JSON, which is there before the revoke is answered. As in
Celery, the newest CELERY_WORKER_REVOKES_MAX (50,000) are kept, and revokes by stamped headers are not.
"""

import functools
import json
from pathlib import Path

from celery.utils.functional import maybe_list
from celery.utils.log import get_logger
from celery.worker.control import Panel

logger = get_logger(__name__)


class Revokes:
    """What Celery makes of the file's name, once the log is set up and before the worker gets tasks."""

    def __init__(self, state, filename, clock=None):
        self.path = Path(filename)
        try:
            state.revoked.update(self._read())
            self._replace(state.revoked)
        except OSError as error:
            logger.error("%s cannot be used, so a restart forgets what is revoked: %s", self.path, error)
        for command in ("revoke", "terminate"):
            Panel.data[command] = functools.partial(self._revoke, Panel.data[command])

    def save(self):
        """Do nothing at the end, when Celery calls this: everything is in the file."""

    def _revoke(self, command, state, task_id, **options):
        answer = command(state, task_id=task_id, **options)
        try:
            with self.path.open("a") as file:
                file.writelines(map(line_of, maybe_list(task_id)))
        except OSError as error:
            logger.error("A restart forgets that %s is revoked: %s", task_id, error)
        return answer

    def _read(self):
        """Return the ids in the file. One with other lines than ids is moved aside."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        ids = [task_id for line in lines if (task_id := id_in(line)) is not None]
        if len(ids) < len(lines):
            aside = self.path.with_name(f"{self.path.name}.broken")
            self.path.replace(aside)
            damaged = f"{len(lines) - len(ids)} of its {len(lines)} lines"
            logger.error("%s was damaged and is %s now: %s are no task's id; others hold.", self.path, aside, damaged)
        return ids

    def _replace(self, ids):
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_text("".join(map(line_of, ids)))
        new.replace(self.path)


def line_of(task_id):
    """Return a task's line in the file."""
    return f"{json.dumps(task_id)}\n"


def id_in(line):
    """Return the task's id in a line of the file; None where there is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
