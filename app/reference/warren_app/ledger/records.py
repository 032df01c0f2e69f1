"""The ledger's files: one JSON object a line, below $LEDGER_DIR/<run>/."""

import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

_REQUIRED = {
    "accepted": {"number": int, "task_id": str, "time": (int, float)},
    "refused": {"number": int, "task_id": str, "time": (int, float)},
    "done": {
        "number": int,
        "task_id": str,
        "time": (int, float),
        "host": str,
        "redelivered": bool,
    },
    "parked": {"task_id": str},
}


class LedgerError(Exception):
    """The input is unusable; the text says what to do about it."""


@dataclass
class RunRecords:
    """What the files of one run hold.

    `records` are the records as dicts, in no particular order; `unreadable_lines` counts the lines
    that are not complete records, such as a last line cut short.
    """

    records: list
    unreadable_lines: int


def validate_run(run):
    """Return the run id `run` if it is valid.

    :raises ValueError: when it is not; a run id becomes a folder's name.
    """
    if not isinstance(run, str) or not RUN_ID.fullmatch(run):
        raise ValueError(
            f"invalid run id {run!r}: use letters, digits, '.', '_' and '-', not starting with '.'"
        )
    return run


def ledger_dir():
    """Return the folder of all runs, a Path: $LEDGER_DIR, or ./ledger when that is unset."""
    return Path(os.environ.get("LEDGER_DIR") or "ledger")


def append(kind, run, record):
    """Append one record to this host's file of a run; the folder is created when missing.

    :param kind: "accepted" (the producer's file) or "done" (the worker's).
    :param run: run id, validated here.
    :param record: a dict that JSON can express.
    :raises ValueError: when the run id is invalid.
    :raises OSError: when the record could not be written as a whole.
    """
    folder = ledger_dir() / validate_run(run)
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record).encode() + b"\n"
    # All processes of a worker share this file. With O_APPEND one write is one uninterrupted line,
    # and a process that is killed has written either all of its line or nothing.
    fd = os.open(
        folder / f"{kind}-{socket.gethostname()}.jsonl",
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        0o644,
    )
    try:
        written = os.write(fd, line)
    finally:
        os.close(fd)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes of a record were written")


def read_run(base, run):
    """Read every accepted-*.jsonl and done-*.jsonl of a run, in subfolders too, and parked.json.

    The last is what Warren's parked.py prints, of all runs: a task in it waits for an operator.

    :param base: the folder of all runs, a Path.
    :param run: run id.
    :returns: RunRecords.
    :raises LedgerError: when the run is unknown or has no accepted-*.jsonl.
    :raises ValueError: when the run id is invalid.
    """
    folder = base / validate_run(run)
    if not folder.is_dir():
        known = (
            sorted(path.name for path in base.iterdir() if path.is_dir()) if base.is_dir() else []
        )
        there = f"the runs there are: {', '.join(known)}" if known else "there are no runs there"
        raise LedgerError(
            f"no run {run!r} in {base}; {there}. "
            "Type: ledger report --run ID --dir FOLDER, where FOLDER holds the folder ID."
        )
    accepted = sorted(folder.rglob("accepted-*.jsonl"))
    if not accepted:
        raise LedgerError(
            f"no accepted-*.jsonl in {folder}: without the producer's file nothing can be counted. "
            f"Copy it from the host where 'ledger submit' ran, then type: "
            f"ledger report --run {run} --dir {base}"
        )
    # A file may have been collected twice, or as an older and a newer copy. Equal lines are one
    # record: they agree in time, process and task id, which two executions never do.
    seen = set()
    result = RunRecords(records=[], unreadable_lines=0)
    for path in [*accepted, *sorted(folder.rglob("done-*.jsonl"))]:
        for line in path.read_bytes().splitlines():
            if line in seen:
                continue
            seen.add(line)
            record = _parse(line)
            if record is None:
                result.unreadable_lines += 1
            else:
                result.records.append(record)
    for path in folder.rglob("parked.json"):
        ids = {said["id"] for said in json.loads(path.read_text())["parked"]}
        result.records += [{"event": "parked", "task_id": task_id} for task_id in ids if task_id]
    return result


def _parse(line):
    """Return the record in `line` (bytes), or None when it is not a complete one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("event") not in _REQUIRED:
        return None
    required = _REQUIRED[record["event"]]
    if not all(isinstance(record.get(key), kind) for key, kind in required.items()):
        return None
    return record
