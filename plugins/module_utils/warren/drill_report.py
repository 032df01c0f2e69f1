"""The report of a drill: what one fault under a steady load has cost, counted from the ledger.

The action plugin warren_drill_report writes the report of a drill. This compares all reports of a folder:

  python -P -m warren.drill_report table FOLDER [--markdown]      (with plugins/module_utils on PYTHONPATH)

Exit code 0: passed; 1: failed; 2: bad input.
"""

import argparse
import io
import json
import math
import statistics
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path

import jinja2
import jsonschema
from markupsafe import Markup

from warren.ledger import RUN_ID, build_report, read_run
from warren.model import write_json

# What "normal again" means, see normal_seconds().
NORMAL_LATENCY_SECONDS = 1.0
NORMAL_WINDOW_SECONDS = 3.0
NORMAL_SHARE = 0.9
BUCKET_SECONDS = 0.5

_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
_SECONDS = {"type": "number", "minimum": 0}
_BOUNDS = {
    "lost": _COUNT,
    "parked": _COUNT,
    "duplicated": _COUNT,
    "done_gap_seconds": _SECONDS,
    "accept_gap_seconds": _SECONDS,
    "longest_wait_seconds": _SECONDS,
    "workers_back_seconds": _SECONDS,
    "brokers_back_seconds": _SECONDS,
}
# When a fault of a storm begins, or ends.
_FAULT = {
    "type": "object",
    "properties": {"name": _TEXT, "victim": _TEXT, "heals": {"type": "boolean"}, "time": _SECONDS},
    "required": ["name", "victim", "heals", "time"],
}
_FACTS = {
    **dict.fromkeys(["title", "environment", "machine", "settings", "victim"], _TEXT),
    "drill": {"type": "string", "pattern": r"^[\w-]+\Z"},
    "run": {"type": "string", "pattern": rf"^{RUN_ID.pattern}\Z"},
    "rate": {"type": "number", "exclusiveMinimum": 0},
    **dict.fromkeys(["fault_time", "heal_time"], _SECONDS),
    # A bound whose name is mistyped would never be checked.
    "bounds": {"type": "object", "properties": _BOUNDS, "additionalProperties": False},
    "worker_exits": {"type": "object", "additionalProperties": _COUNT},
    "brokers_back_seconds": _SECONDS | {"type": ["number", "null"]},
    "worker_hosts": {"type": "array", "items": _TEXT},
}
_SCHEMA = {
    "type": "object",
    "properties": _FACTS | {"confirm_timeout_seconds": _SECONDS, "faults": {"type": "array", "items": _FAULT}},
    "required": list(_FACTS),
}


class InputError(Exception):
    """The input is unusable; the text says why, in one line."""


# Records of a publish.
ATTEMPTS = ("accepted", "refused")


def read_json(path):
    """Return what the JSON file `path` holds.

    :raises InputError: when it cannot be read, or holds no JSON.
    """

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(path.read_text(), parse_constant=refuse)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def check_facts(facts):
    """Return the facts of a drill as they are, with what is optional filled in.

    :param facts: what the playbook wrote down, a dict; other keys than these are kept:

        drill, title, run, environment, machine, settings, victim -- texts; `drill` is a name, `run` the ledger's run id
        rate -- tasks a second that the producer was asked for
        fault_time, heal_time -- seconds since the epoch
        bounds -- the most that may be, each optional: `lost`, `parked` and `duplicated` tasks, `done_gap_seconds`,
            `accept_gap_seconds`, `longest_wait_seconds`, `workers_back_seconds` (of each host), `brokers_back_seconds`
        worker_exits -- how often programs of workers exited, by host
        brokers_back_seconds -- from the heal until all brokers were healthy, or null when they were not
        worker_hosts -- the hosts that should do tasks after the heal, as the ledger names them
        confirm_timeout_seconds -- how long the producer waits for a confirm; optional, 5
        faults -- where there are several: `name`, `victim`, whether it `heals` or begins, and `time`; optional, none

    :raises InputError: when a key is missing, its value is wrong or no JSON, or the heal comes before the fault.
    """
    try:
        json.dumps(facts, allow_nan=False)
    except ValueError as error:
        raise InputError(f"wrong facts: {error}") from error
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_SCHEMA).iter_errors(facts))
    if error:
        raise InputError(f"wrong facts: {error.json_path}: {error.message}")
    if facts["heal_time"] < facts["fault_time"]:
        raise InputError("wrong facts: heal_time is before fault_time")
    return {"confirm_timeout_seconds": 5, "faults": []} | facts


def build_drill(facts, records, unreadable_lines=0):
    """Judge a drill by the ledger's records.

    :param facts: as check_facts() returns them.
    :param records: list of the run's records, in any order.
    :param unreadable_lines: number of lines that held no complete record.
    :returns: a dict that JSON can express: all of build_report(), the facts, and

        normal_seconds -- as normal_seconds() returns it
        workers_back_seconds -- for each of `worker_hosts` the seconds from the heal to the first task that the host
            completed after it, or null
        done_gap_seconds, accept_gap_seconds -- the longest time without a completed, an accepted task, of those that
            began while tasks were sent: after that a single task that waits for a new pool process would be a gap
        longest_wait_seconds -- the longest time from a task's acceptance until it was done first; null when one is lost
        done_gap_after_fault_seconds, accept_gap_after_fault_seconds -- when it began; negative before the fault
        duplicates_explained -- the tasks done more than once by what explains them: `redelivered` by the broker at
            least once; else `published_again` perhaps, as the publish waited as long as the confirm's timeout; else
            `unexplained`
        worker_exits_total -- the sum of worker_exits
        failures -- a sentence for each bound that is passed
        passed -- whether there is none; null where there is no bound to pass

        The gaps are null when nothing was accepted.

    :raises InputError: when the fault lies outside the load, so that the drill would show nothing.
    """
    done = [record for record in records if record["event"] == "done"]
    attempts = {record["task_id"]: record for record in records if record["event"] in ATTEMPTS}
    times = [record["time"] for record in attempts.values()]
    if times and not min(times) <= facts["fault_time"] <= max(times):
        where = f"the load of run {facts['run']}, which went from {min(times)} to {max(times)}"
        raise InputError(f"wrong facts: fault_time {facts['fault_time']} is outside {where}")

    drill = build_report(facts["run"], records, unreadable_lines) | facts
    drill["normal_seconds"] = normal_seconds(records, facts["heal_time"], facts["rate"])
    drill["workers_back_seconds"] = dict.fromkeys(facts["worker_hosts"])
    for record in sorted(done, key=lambda record: record["time"], reverse=True):
        if record["host"] in facts["worker_hosts"] and record["time"] >= facts["heal_time"]:
            drill["workers_back_seconds"][record["host"]] = record["time"] - facts["heal_time"]
    first_done = _first_done(records)
    waits = [first_done.get(r["task_id"], math.inf) - r["time"] for r in records if r["event"] == "accepted"]
    drill["longest_wait_seconds"] = None if math.inf in waits else max(waits, default=None)
    start = min((record["time"] for record in records if record["event"] == "accepted"), default=None)
    if start:
        drill["longest_done_gap"] = _done_gap_under_load([record["time"] for record in done], start, max(times))
    for name in ("done_gap", "accept_gap"):
        gap = drill[f"longest_{name}"]
        drill[f"{name}_seconds"] = gap and gap["seconds"]
        drill[f"{name}_after_fault_seconds"] = gap and start + gap["began"] - facts["fault_time"]
    drill["duplicates_explained"] = _explain_duplicates(done, attempts, facts["confirm_timeout_seconds"])
    drill["worker_exits_total"] = sum(facts["worker_exits"].values())
    drill["failures"] = _failures(drill)
    drill["passed"] = not drill["failures"] if facts["bounds"] else None
    return drill


def normal_seconds(records, heal_time, rate):
    """Return the seconds from the heal until things are normal again, or None when they never are.

    They are normal from the first completion of a task, at or after the heal, at whose time t

    - every task that was accepted before t - 1 s has been done, and
    - from t to t + 3 s (or to the producer's last attempt, if that is earlier, but for at least 1 s) at least 90 % of
      `rate` are accepted, and as many done.

    Only completions are tried, as a window that begins inside a gap and reaches beyond it can hold enough tasks. Of a
    task done more than once the first completion counts. With a task lost, nothing is normal.

    :param records: list of the run's records, in any order.
    :param heal_time: seconds since the epoch.
    :param rate: tasks a second that the producer was asked for.
    """
    first_done = _first_done(records)
    done_times = sorted(first_done.values())
    accepted = sorted((r["time"], first_done.get(r["task_id"], math.inf)) for r in records if r["event"] == "accepted")
    accept_times = [time for time, _ in accepted]
    all_done_by = list(accumulate((done_time for _, done_time in accepted), max))
    last_attempt = max((record["time"] for record in records if record["event"] in ATTEMPTS), default=-math.inf)
    for now in done_times[bisect_left(done_times, heal_time) :]:
        older = bisect_left(accept_times, now - NORMAL_LATENCY_SECONDS)
        if older and all_done_by[older - 1] > now:
            continue
        window = max(1.0, min(NORMAL_WINDOW_SECONDS, last_attempt - now))
        counts = [bisect_right(times, now + window) - bisect_left(times, now) for times in (accept_times, done_times)]
        if min(counts) >= NORMAL_SHARE * rate * window:
            return now - heal_time
    return None


def _first_done(records):
    """Return when each task was done first, by its id."""
    first_done = {}
    for record in records:
        if record["event"] == "done":
            first_done[record["task_id"]] = min(record["time"], first_done.get(record["task_id"], math.inf))
    return first_done


def _done_gap_under_load(done_times, start, last_attempt):
    """Return the longest gap as build_report() does, of those that begin before the producer's last attempt."""
    points = [start, *sorted(time for time in done_times if time > start)]
    if points[-1] < last_attempt:
        points.append(last_attempt)
    gaps = [(began, ended) for began, ended in pairwise(points) if began < last_attempt]
    began, ended = max(gaps, key=lambda gap: gap[1] - gap[0], default=(start, start))
    return {"seconds": ended - began, "began": began - start}


def _explain_duplicates(done, attempts, confirm_timeout_seconds):
    redelivered = {record["task_id"] for record in done if record["redelivered"]}
    explained = {"redelivered": 0, "published_again": 0, "unexplained": 0}
    for task_id, times in Counter(record["task_id"] for record in done).items():
        if times > 1:
            waited = attempts.get(task_id, {}).get("waited", 0)
            again = "published_again" if waited >= confirm_timeout_seconds else "unexplained"
            explained["redelivered" if task_id in redelivered else again] += 1
    return explained


@dataclass
class Measure:
    """A line of the report. `key` is also the name of its bound, if it has one; `absent` says what a null means."""

    key: str
    label: str
    value: float | None
    note: str = ""
    absent: str = "-"

    def shown(self, value):
        """Return a value of this measure, or its bound, as a text with its unit."""
        if value is None:
            return self.absent
        return f"{round(value, 2):g} s" if self.key.endswith("_seconds") else str(value)


def measures(drill):
    """Return the lines that the page shows of a drill, a list of Measure.

    :param drill: as build_drill() returns it.
    """

    def count(key, label, note=""):
        return Measure(key, label, drill[key], note)

    def gap(name, label):
        began = drill[f"{name}_after_fault_seconds"]
        note = "" if began is None else f"began at {began:.2f} s, counted from the fault"
        return Measure(f"{name}_seconds", label, drill[f"{name}_seconds"], note)

    def back(key, until, value, absent):
        return Measure(key, f"time from the heal until {until}", value, absent=absent)

    lost = ", ".join(map(str, drill["lost_numbers"])) + (", ..." if drill["lost"] > len(drill["lost_numbers"]) else "")
    return [
        count("accepted", "tasks accepted"),
        count("refused", "publishes that reported an error"),
        count("done", "tasks done", _listed(drill["workers"])),
        count("lost", "tasks lost", lost and f"numbers {lost}"),
        count("parked", "tasks parked with a reason"),
        count("duplicated", "tasks done more than once", _listed(drill["duplicates_explained"]).replace("_", " ")),
        count("unconfirmed", "tasks done although their publish reported an error"),
        count("unrecorded", "tasks done that the producer does not know"),
        gap("done_gap", "longest gap without a completed task"),
        gap("accept_gap", "longest gap without an accepted task"),
        Measure(
            "longest_wait_seconds",
            "longest time from a task's acceptance until it was done",
            drill["longest_wait_seconds"],
            absent="some task was never done",
        ),
        *(
            back("workers_back_seconds", f"the next task of {host}", seconds, f"{host} did no task after the heal")
            for host, seconds in drill["workers_back_seconds"].items()
        ),
        back("brokers_back_seconds", "all brokers were back", drill["brokers_back_seconds"], "some broker stayed away"),
        back("normal_seconds", "normal again", drill["normal_seconds"], "never"),
        count("worker_exits_total", "exits of workers", _listed(drill["worker_exits"])),
        count("unreadable_lines", "unreadable lines in the ledger"),
    ]


def _listed(counts):
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _failures(drill):
    if not drill["accepted"]:
        return ["nothing was accepted"]
    failures = []
    for measure in measures(drill):
        bound = drill["bounds"].get(measure.key, math.inf)
        if measure.value is None and bound < math.inf:
            failures.append(measure.absent)
        elif measure.value is not None and measure.value > bound:
            failures.append(f"{measure.label} {measure.shown(measure.value)}, more than {measure.shown(bound)}")
    return failures


def summary(drill):
    """Return how a drill went, in one line.

    :param drill: as build_drill() returns it.
    """
    if drill["failures"]:
        return f"{drill['drill']}  FAILED: {'; '.join(drill['failures'])}"
    normal = drill["normal_seconds"]
    verdict = "PASSED" if drill["passed"] else "MEASURED"
    return (
        f"{drill['drill']}  {verdict}  {drill['accepted']} accepted, {drill['done']} done, "
        f"{drill['parked']} parked, {drill['lost']} lost, "
        f"{drill['duplicated']} twice; gaps: done {drill['done_gap_seconds']:.1f} s, "
        f"accepted {drill['accept_gap_seconds']:.1f} s; exits {drill['worker_exits_total']}; "
        + ("never normal after the heal" if normal is None else f"normal {normal:.1f} s after the heal")
    )


def timeline(drill, records):
    """Draw the tasks accepted and done a second against the seconds since the fault, with the longest gaps.

    :param drill: as build_drill() returns it, of a run in which something was accepted.
    :param records: the run's records.
    :returns: an SVG element, as text.
    """
    # Not at the top: Ansible imports this file in the process that it forks, and numpy starts threads.
    import matplotlib
    import numpy
    from matplotlib.figure import Figure

    heal = drill["heal_time"] - drill["fault_time"]
    times = {
        event: [record["time"] - drill["fault_time"] for record in records if record["event"] == event]
        for event in ("accepted", "done")
    }
    # One bucket begins at the fault, so that none mixes what was before it with what was after.
    first = min(0, *times["accepted"]) // BUCKET_SECONDS
    last = max(heal, *times["accepted"], *times["done"]) // BUCKET_SECONDS + 1
    edges = numpy.arange(first, last + 1) * BUCKET_SECONDS
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": drill["run"]}):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        panels = figure.subplots(2, sharex=True)
        for axes, (event, colour, gap) in zip(
            panels, [("accepted", "tab:blue", "accept_gap"), ("done", "tab:green", "done_gap")], strict=True
        ):
            counts, _ = numpy.histogram(times[event], edges)
            axes.stairs(counts / BUCKET_SECONDS, edges, color=colour, fill=True, alpha=0.6)
            began, seconds = drill[f"{gap}_after_fault_seconds"], drill[f"{gap}_seconds"]
            axes.axvspan(began, began + seconds, color="0.85", zorder=0, label=f"longest gap, {seconds:.1f} s")
            axes.axhline(drill["rate"], color="0.5", linewidth=0.8, linestyle=":")
            for began, ended in fault_spans(drill):
                axes.axvspan(began, ended, color="tab:red", alpha=0.15, zorder=0)
            axes.axvline(0, color="tab:red")
            axes.axvline(heal, color="black", linestyle="--")
            axes.set(ylabel=f"{event} a second", ylim=(0, None), xlim=(edges[0], edges[-1]))
            # Above the panel, as a load without a burst fills it.
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0, frameon=False)
        # Written to either side, as both may be at the same time.
        above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        panels[0].annotate("fault", (0, 1), (-1, 3), ha="right", color="tab:red", **above)
        panels[0].annotate("heal", (heal, 1), (1, 3), ha="left", **above)
        panels[1].set_xlabel("seconds since the fault")
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = svg.getvalue()
    return text[text.index("<svg") :]


def fault_spans(drill):
    """Return when each of several faults began and ended, in seconds since the first one, as pairs."""
    open_since, spans = {}, []
    for step in drill["faults"]:
        key, seconds = (step["name"], step["victim"]), step["time"] - drill["fault_time"]
        if step["heals"]:
            spans.append((open_since.pop(key), seconds))
        else:
            open_since[key] = seconds
    return spans


def page(drill, records):
    """Return the HTML page of a drill, which needs no other file.

    :param drill: as build_drill() returns it.
    :param records: the run's records.
    """
    template = jinja2.Template(
        Path(__file__).with_name("drill_report.html.j2").read_text(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return template.render(
        drill=drill,
        verdict={True: "passed", False: "FAILED", None: "measured"}[drill["passed"]],
        measures=measures(drill),
        fault=datetime.fromtimestamp(drill["fault_time"], UTC),
        timeline=Markup(timeline(drill, records)) if drill["accepted"] else "",
    )


def read_reports(folder):
    """Return the reports in a folder, dicts as build_drill() returns them.

    :raises InputError: when the folder has no report, or a *.json that is none.
    """
    reports = {path: read_json(path) for path in sorted(folder.glob("*.json"))}
    for path, report in reports.items():
        if not isinstance(report, dict) or not {*_FACTS, "passed"} <= report.keys():
            raise InputError(f"{path} is not the report of a drill")
    if not reports:
        raise InputError(f"{folder} has no report of a drill: there is no *.json")
    return list(reports.values())


def table(reports, markdown=False):
    """Return the table of several runs as text, a row for each drill, in the order of their first runs.

    A drill that ran in several environments, or with several settings, has a row for each. Gaps and the time until
    normal are medians, the gaps with the worst in brackets when there are several runs; `-` stands for never.

    :param reports: not empty, dicts as build_drill() returns them.
    :param markdown: whether to write a table of Markdown instead of aligned columns.
    """
    drills = {}
    for report in sorted(reports, key=lambda report: report["fault_time"]):
        variants = drills.setdefault(report["drill"], {})
        variants.setdefault((report["environment"], report["settings"]), []).append(report)
    head = ["drill", "runs", "lost", "done twice", "longest gap done, s", "longest gap accepted, s", "worker exits"]
    rows = [[*head, "normal after the heal, s", "verdict"]]
    for drill, variants in drills.items():
        differing = [len(set(values)) > 1 for values in zip(*variants, strict=True)]
        for variant, runs in variants.items():
            most = {key: str(max(run[key] for run in runs)) for key in ("lost", "duplicated", "worker_exits_total")}
            failed = sum(run["passed"] is False for run in runs)
            judged = any(run["passed"] is not None for run in runs)
            rows.append(
                [
                    ", ".join([drill, *(name for name, differs in zip(variant, differing, strict=True) if differs)]),
                    str(len(runs)),
                    most["lost"],
                    most["duplicated"],
                    _median(runs, "done_gap_seconds", worst=True),
                    _median(runs, "accept_gap_seconds", worst=True),
                    most["worker_exits_total"],
                    _median(runs, "normal_seconds"),
                    "-"
                    if not judged
                    else "passed"
                    if not failed
                    else "failed"
                    if len(runs) == 1
                    else f"{failed} of {len(runs)} failed",
                ]
            )
    verdicts = Counter(report["passed"] for report in reports)
    total = f"{verdicts[True]} passed, {verdicts[False]} failed"
    if markdown:
        rows.insert(1, ["---"] * len(rows[0]))
        return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", total])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, total])


def _median(runs, key, worst=False):
    values = [math.inf if run[key] is None else run[key] for run in runs]
    median, most = ("-" if value == math.inf else f"{value:.1f}" for value in (statistics.median(values), max(values)))
    return f"{median} ({most})" if worst and len(runs) > 1 else median


def write_report(facts: dict, ledger: Path, folder: Path) -> dict:
    """Count the run that the facts name, write RUN.json and RUN.html, and return what build_drill() returns.

    :param facts: as check_facts() takes them.
    :param ledger: folder that holds the run's folder.
    :param folder: where to write; made when missing.
    :raises InputError: when the facts are wrong.
    :raises LedgerError: when the ledger lacks the run.
    :raises OSError: when a file cannot be read or written.
    """
    facts = check_facts(facts)
    found = read_run(ledger, facts["run"])
    drill = build_drill(facts, found.records, found.unreadable_lines)
    write_json(folder / f"{facts['run']}.json", drill)
    (folder / f"{facts['run']}.html").write_text(page(drill, found.records))
    return drill


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: sys.argv) and return the exit code: 0 passed, 1 failed, 2 bad input."""
    parser = argparse.ArgumentParser(prog="drill_report.py", description="Compare all reports of a folder.")
    parser.add_argument("command", choices=["table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markdown", action="store_true", help="print a table of Markdown")
    args = parser.parse_args(argv)
    try:
        reports = read_reports(args.folder)
    except InputError as error:
        print(f"drill_report.py: {error}", file=sys.stderr)
        return 2
    print(table(reports, args.markdown))
    return 1 if any(report["passed"] is False for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
