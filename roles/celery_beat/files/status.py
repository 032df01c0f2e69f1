"""Print whether the scheduler of this host runs, and what it sent last, as JSON.

Usage: python3 - LOG FILE      (as root)

LOG is the scheduler's log; the one before it, LOG.1, is read, too. The time of FILE is when the scheduler will look at
its schedule again.

    state -- as supervisord says, or null where it says nothing
    error -- what supervisord says instead, or null
    locked -- whether the scheduler has acquired the lock since it started; a standby has not
    looks_at -- that time, seconds since the epoch; null without the file
    last_task_sent_at, last_task -- time as the log has it, and name of the entry; null where the log has none
"""

import json
import re
import subprocess
import sys
from pathlib import Path


def supervised():
    """Return what supervisord says of the program."""
    said = subprocess.run(["supervisorctl", "status", "beat"], capture_output=True, text=True, check=False)
    state = re.search(r"^beat +([A-Z]+)", said.stdout, re.M)
    return {"state": state and state[1], "error": None if state else said.stdout or said.stderr}


def time_of(line):
    """Return the time of a line, which is text or JSON."""
    match = re.match(r"\[([^,]+),", line) or re.search(r'"timestamp": "([^"]+)"', line)
    return match and match[1]


def logged(log):
    """Return what the log says."""
    locked, sent = False, (None, None)
    for file in (Path(f"{log}.1"), Path(log)):
        for line in file.read_text(errors="replace").splitlines() if file.exists() else ():
            if "beat: Starting" in line:
                locked = False
            elif "beat: Acquired lock" in line:
                locked = True
            elif match := re.search(r"Sending due task (\S+)", line):
                sent = (time_of(line), match[1])
    return {"locked": locked, "last_task_sent_at": sent[0], "last_task": sent[1]}


def due(file):
    """Return when the scheduler will look at its schedule again."""
    return {"looks_at": file.stat().st_mtime if file.exists() else None}


if __name__ == "__main__":
    print(json.dumps(supervised() | logged(sys.argv[1]) | due(Path(sys.argv[2]))))
