"""The count: pure functions over the ledger's records."""

from collections import Counter
from itertools import pairwise

LISTED = 20


def build_report(run, records, unreadable_lines=0):
    """Compare what was accepted with what was done.

    Tasks are distinguished by id, not by number: a done record left over from an earlier run of
    the same name must not stand in for a lost task, and several producers may share a run.

    :param run: run id.
    :param records: iterable of records as dicts, in any order.
    :param unreadable_lines: number of lines that held no complete record.
    :returns: a dict that JSON can express:

        run -- the run id
        accepted -- tasks the broker accepted
        refused -- tasks whose publish reported an error, whatever became of them
        done -- distinct tasks done
        parked -- accepted tasks without a done record that are parked with a reason
        lost, lost_numbers -- all other accepted tasks without a done record; the first 20 numbers
        duplicated, duplicated_numbers -- tasks done more than once; the first 20 numbers
        unconfirmed -- tasks done although their publish reported an error
        unrecorded -- tasks done of which the producer's files know nothing
        redelivered -- executions of messages that the broker delivered again
        workers -- executions by host, an object
        duration_seconds -- from the first accepted publish to the last record, or null
        tasks_per_second -- done divided by duration_seconds, or null
        longest_done_gap -- longest time without a completed task, from the first accepted publish
            to the last record
        longest_accept_gap -- longest time without an accepted publish, from the first accepted
            publish to the producer's last attempt
        unreadable_lines -- as given

        Both gaps are objects with `seconds` (its length) and `began` (seconds from the first
        accepted publish to the beginning of the gap). They, duration_seconds and tasks_per_second
        are null when nothing was accepted.
    """
    accepted, refused, done, parked = {}, {}, [], set()
    for record in records:
        if record["event"] == "done":
            done.append(record)
        elif record["event"] == "parked":
            parked.add(record["task_id"])
        else:
            producer = accepted if record["event"] == "accepted" else refused
            producer[record["task_id"]] = record

    executions = Counter(record["task_id"] for record in done)
    done_numbers = {record["task_id"]: record["number"] for record in done}
    undone = accepted.keys() - executions.keys()
    lost = sorted(accepted[task_id]["number"] for task_id in undone - parked)
    duplicated = sorted(done_numbers[task_id] for task_id, times in executions.items() if times > 1)

    report = {
        "run": run,
        "accepted": len(accepted),
        "refused": len(refused),
        "done": len(executions),
        "parked": len(undone & parked),
        "lost": len(lost),
        "lost_numbers": lost[:LISTED],
        "duplicated": len(duplicated),
        "duplicated_numbers": duplicated[:LISTED],
        "unconfirmed": len(refused.keys() & executions.keys()),
        "unrecorded": len(executions.keys() - accepted.keys() - refused.keys()),
        "redelivered": sum(record["redelivered"] for record in done),
        "workers": dict(sorted(Counter(record["host"] for record in done).items())),
        "duration_seconds": None,
        "tasks_per_second": None,
        "longest_done_gap": None,
        "longest_accept_gap": None,
        "unreadable_lines": unreadable_lines,
    }
    if accepted:
        accept_times = [record["time"] for record in accepted.values()]
        done_times = [record["time"] for record in done]
        start = min(accept_times)
        last_attempt = max(record["time"] for record in (accepted | refused).values())
        end = max([last_attempt, *done_times])
        report["duration_seconds"] = end - start
        report["tasks_per_second"] = len(executions) / (end - start) if end > start else None
        report["longest_done_gap"] = _longest_gap(done_times, start, end)
        # After the producer's last attempt nobody asked the broker to accept anything.
        report["longest_accept_gap"] = _longest_gap(accept_times, start, last_attempt)
    return report


def _longest_gap(times, start, end):
    """Return the longest (and of equal ones the first) time between `start` and `end` without
    one of `times`, as described in build_report."""
    # Hosts' clocks differ a little, so a time may lie outside.
    points = [start, *sorted(time for time in times if start <= time <= end), end]
    began, ended = max(pairwise(points), key=lambda gap: gap[1] - gap[0])
    return {"seconds": ended - began, "began": began - start}


def format_report(report):
    """Return the report of build_report as a block of text to read, without a final newline."""
    rows = [
        ("run", report["run"]),
        ("accepted", report["accepted"]),
        ("refused", report["refused"]),
        ("done", report["done"]),
        ("parked", report["parked"]),
        ("lost", _with_numbers(report["lost"], report["lost_numbers"])),
        ("duplicated", _with_numbers(report["duplicated"], report["duplicated_numbers"])),
        ("unconfirmed", report["unconfirmed"]),
        ("unrecorded", report["unrecorded"]),
        ("redelivered", report["redelivered"]),
        *((f"worker {host}", count) for host, count in report["workers"].items()),
        ("duration", _number(report["duration_seconds"], "s")),
        ("tasks a second", _number(report["tasks_per_second"])),
        ("longest gap without a completed task", _gap(report["longest_done_gap"])),
        ("longest gap without an accepted publish", _gap(report["longest_accept_gap"])),
        ("unreadable lines", report["unreadable_lines"]),
    ]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def _with_numbers(count, numbers):
    if not count:
        return "0"
    more = ", ..." if count > len(numbers) else ""
    return f"{count}: {', '.join(map(str, numbers))}{more}"


def _number(value, unit=""):
    return "-" if value is None else f"{value:.2f} {unit}".rstrip()


def _gap(gap):
    return "-" if gap is None else f"{gap['seconds']:.2f} s, began at {gap['began']:.2f} s"
