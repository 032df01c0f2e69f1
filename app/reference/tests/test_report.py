import json

import pytest

from warren_app.ledger.report import build_report, format_report

T0 = 1000.0


def accepted(number, at, task_id=None):
    return {
        "event": "accepted",
        "number": number,
        "task_id": task_id or f"t{number}",
        "time": T0 + at,
    }


def refused(number, at):
    return accepted(number, at) | {"event": "refused", "error": "OSError", "message": "no route"}


def done(number, at, host="w1", task_id=None, redelivered=False):
    return accepted(number, at, task_id) | {
        "event": "done",
        "host": host,
        "redelivered": redelivered,
    }


def test_everything_done():
    report = build_report(
        "r", [accepted(1, 0), accepted(2, 1), done(1, 2, "w1"), done(2, 4, "w2")], 3
    )
    assert report == {
        "run": "r",
        "accepted": 2,
        "refused": 0,
        "done": 2,
        "parked": 0,
        "lost": 0,
        "lost_numbers": [],
        "duplicated": 0,
        "duplicated_numbers": [],
        "unconfirmed": 0,
        "unrecorded": 0,
        "redelivered": 0,
        "workers": {"w1": 1, "w2": 1},
        "duration_seconds": 4.0,
        "tasks_per_second": 0.5,
        "longest_done_gap": {"seconds": 2.0, "began": 0.0},
        "longest_accept_gap": {"seconds": 1.0, "began": 0.0},
        "unreadable_lines": 3,
    }


def test_a_parked_task_is_not_lost_unless_it_was_done():
    parked = [{"event": "parked", "task_id": accepted(n, 0)["task_id"]} for n in (1, 2, 9)]
    records = [accepted(1, 0), accepted(2, 1), accepted(3, 2), done(2, 3)]
    report = build_report("r", records + parked)
    counts = {name: report[name] for name in ("accepted", "done", "parked", "lost", "lost_numbers")}
    assert counts == {"accepted": 3, "done": 1, "parked": 1, "lost": 1, "lost_numbers": [3]}


def test_lost_lists_the_first_twenty_numbers():
    report = build_report("r", [accepted(n, n) for n in range(30, 0, -1)] + [done(1, 40)])
    assert report["lost"] == 29
    assert report["lost_numbers"] == list(range(2, 22))


def test_duplicated_counts_tasks_and_workers_count_executions():
    report = build_report(
        "r",
        [
            accepted(1, 0),
            accepted(2, 0),
            done(1, 1),
            done(1, 2, "w2", redelivered=True),
            done(1, 3, "w2", redelivered=True),
            done(2, 4),
            done(2, 5),
            accepted(3, 5),
            done(3, 6),
        ],
    )
    assert (report["done"], report["duplicated"], report["duplicated_numbers"]) == (3, 2, [1, 2])
    assert report["redelivered"] == 2
    assert report["workers"] == {"w1": 4, "w2": 2}


def test_refused_is_not_lost_and_refused_but_done_is_unconfirmed():
    report = build_report(
        "r", [accepted(1, 0), refused(2, 1), refused(3, 2), done(1, 3), done(3, 4)]
    )
    assert (report["refused"], report["lost"], report["unconfirmed"]) == (2, 0, 1)
    assert report["done"] == 2


def test_a_leftover_of_an_earlier_run_does_not_hide_a_loss():
    report = build_report("r", [accepted(1, 0), done(1, 1, task_id="of-an-earlier-run")])
    assert (report["lost"], report["lost_numbers"], report["unrecorded"]) == (1, [1], 1)


def test_done_gap_includes_the_end():
    report = build_report(
        "r", [accepted(1, 0), accepted(2, 1), accepted(3, 20), done(1, 1), done(2, 5)]
    )
    assert report["longest_done_gap"] == {"seconds": 15.0, "began": 5.0}


def test_done_gap_in_the_middle_is_found_in_unordered_records():
    report = build_report(
        "r", [done(2, 9), accepted(2, 8), done(1, 1), accepted(1, 0), done(3, 10), accepted(3, 9)]
    )
    assert report["longest_done_gap"] == {"seconds": 8.0, "began": 1.0}


def test_accept_gap_counts_trailing_refusals_but_not_the_workers_backlog():
    records = [accepted(1, 0), accepted(2, 3), refused(3, 10), done(1, 1), done(2, 100)]
    report = build_report("r", records)
    assert report["longest_accept_gap"] == {"seconds": 7.0, "began": 3.0}
    assert report["longest_done_gap"] == {"seconds": 99.0, "began": 1.0}


def test_a_worker_whose_clock_is_behind():
    report = build_report("r", [accepted(1, 0), accepted(2, 4), done(1, -2), done(2, 5)])
    assert report["longest_done_gap"] == {"seconds": 5.0, "began": 0.0}


def test_nothing_accepted():
    report = build_report("r", [refused(1, 0)])
    assert report["refused"] == 1
    for key in ("duration_seconds", "tasks_per_second", "longest_done_gap", "longest_accept_gap"):
        assert report[key] is None
    assert "longest gap without a completed task     -" in format_report(report)


def test_a_single_instant_has_no_rate():
    assert build_report("r", [accepted(1, 0), done(1, 0)])["tasks_per_second"] is None


def test_the_report_is_json():
    report = build_report("r", [accepted(1, 0), done(1, 1)])
    assert json.loads(json.dumps(report)) == report


def test_format_names_the_lost_and_the_gaps():
    text = format_report(build_report("r", [accepted(n, n) for n in range(1, 24)] + [done(1, 5)]))
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in text.splitlines()}
    assert lines["lost"].startswith("22: 2, 3, 4,")
    assert lines["lost"].endswith("20, 21, ...")
    assert lines["worker w1"] == "1"
    assert lines["longest gap without a completed task"] == "18.00 s, began at 4.00 s"


@pytest.mark.parametrize("count", [1, 20])
def test_format_has_no_dots_when_all_lost_are_listed(count):
    text = format_report(build_report("r", [accepted(n, n) for n in range(count)]))
    assert "..." not in text
