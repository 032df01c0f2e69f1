"""The report of a drill says what the ledger says, fails where a bound is passed, and refuses what makes no sense."""

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import kit
import pytest
from warren import drill_report
from warren.drill_report import (
    InputError,
    build_drill,
    check_facts,
    measures,
    normal_seconds,
    page,
    summary,
    table,
    timeline,
    write_report,
)
from warren.ledger import LedgerError, build_report

T0 = 1764091200.0
SVG = "{http://www.w3.org/2000/svg}"
FACTS = {
    "drill": "broker_frozen",
    "title": "A broker is frozen",
    "run": "r1",
    "environment": "lab",
    "machine": "2 cores",
    "settings": "tuned",
    "rate": 100,
    "victim": "mq1",
    "fault_time": T0 + 20,
    "heal_time": T0 + 30,
    "bounds": {"lost": 0},
    "worker_exits": {"w1": 0, "w2": 1},
    "brokers_back_seconds": 12.3,
    "worker_hosts": ["w1", "w2"],
}


def accepted(number, at, **more):
    return {"event": "accepted", "number": number, "task_id": f"t{number}", "time": T0 + at, "waited": 0.005} | more


def refused(number, at, **more):
    return accepted(number, at, event="refused", **more)


def done(number, at, host="w1", redelivered=False):
    return accepted(number, at, event="done", host=host, redelivered=redelivered)


def steady(begin, end, rate=100, done_at=lambda at: at + 0.01):
    """The records of a steady load; `done_at` says when the task accepted at a time is done."""
    times = [begin + number / rate for number in range(round((end - begin) * rate))]
    numbers = [round(at * 1000) for at in times]
    return [
        record
        for number, at in zip(numbers, times, strict=True)
        for record in (accepted(number, at), done(number, done_at(at), f"w{number // 10 % 2 + 1}"))
    ]


def facts(**more):
    return check_facts(FACTS | more)


# A gap of 6.01 s that begins 0.1 s after the fault.
GAP = steady(0, 20.1) + steady(26.1, 60)


def normal(records, heal=30, rate=100):
    """normal_seconds(), rounded to what floating point leaves of the times above."""
    seconds = normal_seconds(records, T0 + heal, rate)
    return None if seconds is None else round(seconds, 3)


def test_the_report_holds_the_count_and_the_facts():
    drill = build_drill(facts(), GAP, 2)
    assert drill.items() >= build_report("r1", GAP, 2).items()
    assert drill.items() >= FACTS.items()
    assert (drill["accepted"], drill["lost"], drill["unreadable_lines"]) == (5400, 0, 2)
    assert (drill["failures"], drill["passed"]) == ([], True)
    assert drill["worker_exits_total"] == 1
    assert json.loads(json.dumps(drill, allow_nan=False)) == drill


def test_gaps_are_told_relative_to_the_fault():
    drill = build_drill(facts(), GAP)
    assert drill["accept_gap_seconds"] == pytest.approx(6.01)
    assert drill["accept_gap_after_fault_seconds"] == pytest.approx(0.09)
    assert drill["done_gap_seconds"] == pytest.approx(6.01)
    assert drill["done_gap_after_fault_seconds"] == pytest.approx(0.1)


def test_a_task_that_is_done_long_after_the_load_has_ended_is_a_wait_and_no_gap():
    """As a task that waits for a new pool process: Celery starts one every 5 s at most."""
    drill = build_drill(facts(), [*steady(0, 60), accepted(1, 58.005), done(1, 65)])
    assert drill["done_gap_seconds"] == pytest.approx(0.01, abs=0.001)
    assert drill["longest_wait_seconds"] == pytest.approx(6.995)


def test_a_gap_that_outlasts_the_load_is_counted_to_its_end():
    drill = build_drill(facts(), [*steady(0, 50), *steady(50, 60, done_at=lambda at: 75 + at / 100)])
    assert drill["done_gap_seconds"] == pytest.approx(75.5 - 50)


def test_a_gap_before_the_fault_is_negative_and_counts_from_the_first_accepted_task():
    drill = build_drill(facts(), [refused(1, 2), accepted(2, 5), accepted(3, 19), accepted(4, 31), done(4, 32)])
    assert (drill["accept_gap_seconds"], drill["accept_gap_after_fault_seconds"]) == (14, -15)
    assert (drill["done_gap_seconds"], drill["done_gap_after_fault_seconds"]) == (27, -15)


def test_normal_at_the_first_completion_when_nothing_stopped():
    assert normal(steady(0, 60)) == 0.0


def test_normal_when_tasks_are_accepted_again():
    assert normal(steady(0, 20) + steady(35, 60)) == 5.01


def test_not_normal_within_a_gap_even_when_the_producer_catches_up_after_it():
    """From 30.3 s to 33.3 s there are enough tasks, but nothing moved before 31 s."""
    catch_up = [entry for n in range(1, 100, 2) for entry in (accepted(n, 31), done(n, 31.005))]
    assert normal(steady(0, 20) + catch_up + steady(31, 60)) == 1.005


def test_not_normal_before_the_backlog_is_done():
    assert normal(steady(0, 60, done_at=lambda at: 45 if 20 <= at < 40 else at + 0.01)) == 15.0


def test_a_task_may_take_a_second_while_things_are_normal():
    records = steady(0, 60)
    assert normal([*records, accepted(1, 29.1), done(1, 30.65)]) == 0.0
    # Accepted more than a second before 30 s, so 30 s is not normal, but the moment when it is done is.
    assert normal([*records, accepted(1, 28.9), done(1, 30.65)]) == 0.65


def test_not_normal_while_completions_stall_although_tasks_are_accepted():
    records = steady(0, 60, done_at=lambda at: 35 if 30.5 <= at < 35 else at + 0.01)
    assert normal(records) == 5.0
    again = [done(number, 30.5 + number / 1000, redelivered=True) for number in range(10, 4500, 10)]
    assert normal(records + again) == 5.0, "a task done again is no progress"


@pytest.mark.parametrize(("rate", "expected"), [(80, None), (88, None), (92, 0.0), (100, 0.0)])
def test_normal_needs_nine_tenths_of_the_rate(rate, expected):
    assert normal(steady(0, 30) + steady(30, 60, rate=rate)) == expected


def test_never_normal_with_a_task_lost():
    assert normal([*steady(0, 60), accepted(1, 3)]) is None


def test_the_window_ends_with_the_load_but_lasts_a_second():
    assert normal(steady(0, 60), heal=58.5) == 0.0
    assert normal(steady(0, 60), heal=59.5) is None


def test_what_is_done_does_not_stand_in_for_what_is_accepted():
    unconfirmed = [entry for n in range(700) for entry in (refused(n, 25 + n / 20), done(n, 25.01 + n / 20))]
    records = [*steady(0, 25), *steady(25, 60, rate=80, done_at=lambda at: at + 0.02)]
    assert normal(records + [entry | {"task_id": f"u{entry['number']}"} for entry in unconfirmed]) is None


def test_a_refused_publish_belongs_to_the_load():
    """The producer went on for three seconds, but nothing was accepted."""
    assert normal([*steady(0, 32), refused(1, 35)]) is None
    assert normal(steady(0, 32)) == 0.0


def test_never_normal_without_records():
    assert normal([]) is None


def test_workers_back_is_the_first_task_of_each_host_after_the_heal():
    records = [accepted(1, 0), refused(2, 40), done(1, 31), done(1, 29.5, "w2"), done(1, 34, "w2"), done(1, 33, "w2")]
    drill = build_drill(facts(worker_hosts=["w2", "w1", "w3"]), [*records, done(1, 30, "other")])
    assert drill["workers_back_seconds"] == {"w2": 3, "w1": 1, "w3": None}


def test_duplicates_are_explained():
    records = [
        *(accepted(number, number) for number in (1, 2, 3)),
        accepted(4, 4, waited=5.0),
        accepted(5, 5, waited=4.9),
        refused(6, 40, waited=60.0),
        accepted(7, 7, waited=9.0),
        *(done(number, 41) for number in range(1, 9)),
        *(done(number, 42, redelivered=number in (1, 2, 7)) for number in range(2, 9)),
    ]
    explained = build_drill(facts(), records)["duplicates_explained"]
    assert explained == {"redelivered": 2, "published_again": 2, "unexplained": 3}
    patient = build_drill(facts(confirm_timeout_seconds=30), records)["duplicates_explained"]
    assert patient == {"redelivered": 2, "published_again": 1, "unexplained": 4}


def test_a_producer_that_did_not_note_how_long_it_waited():
    records = [accepted(1, 1), accepted(2, 40), done(1, 2), done(1, 3)]
    del records[0]["waited"]
    assert build_drill(facts(), records)["duplicates_explained"]["unexplained"] == 1


# Two tasks lost and one done twice; gaps of 11 s without a completed and 10 s without an accepted task; w2 is back 4 s
# after the heal, the brokers 12.3 s.
BOUNDED = [
    *(accepted(number, at) for number, at in [(1, 10), (2, 20), (3, 30), (4, 40), (5, 41)]),
    *(done(number, at, host) for number, at, host in [(1, 20, "w1"), (1, 20, "w2"), (2, 31, "w1"), (3, 34, "w2")]),
    done(9, 41),
]


@pytest.mark.parametrize(
    ("bound", "most", "sentence"),
    [
        ("lost", 2, "tasks lost 2, more than 1"),
        ("duplicated", 1, "tasks done more than once 1, more than 0"),
        ("done_gap_seconds", 11, "longest gap without a completed task 11 s, more than 10 s"),
        ("accept_gap_seconds", 10, "longest gap without an accepted task 10 s, more than 9 s"),
        ("workers_back_seconds", 4, "time from the heal until the next task of w2 4 s, more than 3 s"),
        ("brokers_back_seconds", 12.3, "time from the heal until all brokers were back 12.3 s, more than 11.3 s"),
    ],
)
def test_a_bound_may_be_reached_and_not_passed(bound, most, sentence):
    drill = build_drill(facts(bounds={"lost": 2, bound: most}), BOUNDED)
    assert (drill["failures"], drill["passed"]) == ([], True)
    drill = build_drill(facts(bounds={"lost": 2, bound: most - 1}), BOUNDED)
    assert (drill["failures"], drill["passed"]) == ([sentence], False)


@pytest.mark.parametrize(
    ("bound", "sentence"),
    [("workers_back_seconds", "w9 did no task after the heal"), ("brokers_back_seconds", "some broker stayed away")],
)
def test_what_never_came_back_fails_only_with_a_bound(bound, sentence):
    away = {"worker_hosts": ["w1", "w9"], "brokers_back_seconds": None}
    assert build_drill(facts(**away), GAP)["passed"]
    assert build_drill(facts(**away, bounds={"lost": 0, bound: 60}), GAP)["failures"] == [sentence]


def test_a_drill_in_which_nothing_was_accepted_fails():
    records = [refused(1, 10), refused(2, 40)]
    drill = build_drill(facts(bounds={"lost": 0, "done_gap_seconds": 1}), records)
    assert (drill["failures"], drill["passed"]) == (["nothing was accepted"], False)
    assert drill["done_gap_seconds"] is drill["done_gap_after_fault_seconds"] is drill["normal_seconds"] is None
    assert ElementTree.fromstring(page(drill, records)).find("body/svg") is None
    assert build_drill(facts(), [])["failures"] == ["nothing was accepted"]


def test_the_summary_is_one_line():
    line = summary(build_drill(facts(), [*GAP, done(0, 50), done(10, 50), done(20, 50)]))
    assert line == (
        "broker_frozen  PASSED  5400 accepted, 5400 done, 0 parked, 0 lost, 3 twice; "
        "gaps: done 6.0 s, accepted 6.0 s; exits 1; "
        "normal 0.0 s after the heal"
    )
    never = summary(build_drill(facts(), [accepted(1, 10), accepted(2, 40), done(1, 11), done(2, 41)]))
    assert never.endswith("; never normal after the heal")
    failed = summary(build_drill(facts(bounds={"lost": 1, "done_gap_seconds": 5}), BOUNDED))
    assert failed == (
        "broker_frozen  FAILED: tasks lost 2, more than 1; longest gap without a completed task 11 s, more than 5 s"
    )


def test_without_a_bound_nothing_is_judged():
    drill = build_drill(facts(bounds={}), BOUNDED)
    assert (drill["passed"], drill["failures"]) == (None, [])
    assert summary(drill).startswith("broker_frozen  MEASURED  5 accepted, 4 done, 0 parked, 2 lost, 1 twice; ")
    assert page(drill, BOUNDED).count("measured") == 2
    assert table([drill]).splitlines()[1].endswith("  -")
    assert table([drill]).splitlines()[-1] == "0 passed, 0 failed"


def test_a_task_waits_until_it_was_done_first():
    records = [accepted(1, 1), accepted(2, 2), accepted(3, 40), done(1, 9), done(1, 5), done(2, 8), done(3, 41)]
    drill = build_drill(facts(bounds={"longest_wait_seconds": 6}), records)
    assert (drill["longest_wait_seconds"], drill["failures"]) == (6, [])
    drill = build_drill(facts(bounds={"longest_wait_seconds": 5}), records)
    assert drill["failures"] == ["longest time from a task's acceptance until it was done 6 s, more than 5 s"]
    drill = build_drill(facts(bounds={"longest_wait_seconds": 60}), BOUNDED)
    assert (drill["longest_wait_seconds"], drill["failures"]) == (None, ["some task was never done"])


def shown(records, **more):
    """The rows of the page's table by their first cell, without it."""
    tree = ElementTree.fromstring(page(build_drill(facts(**more), records, 7), records))
    cells = [["".join(cell.itertext()) for cell in row] for row in tree.iterfind(".//table/tr")]
    return {row[0]: row[1:] for row in cells}


def test_the_page_shows_the_counts_with_their_bounds():
    rows = shown(BOUNDED, bounds={"lost": 0, "done_gap_seconds": 15, "workers_back_seconds": 10})
    assert rows["tasks accepted"] == ["5", "", ""]
    assert rows["tasks lost"] == ["2", "0", "numbers 4, 5"]
    assert rows["tasks done more than once"] == ["1", "", "redelivered 0, published again 0, unexplained 1"]
    assert rows["longest gap without a completed task"] == ["11 s", "15 s", "began at 0.00 s, counted from the fault"]
    assert rows["time from the heal until the next task of w2"] == ["4 s", "10 s", ""]
    assert rows["time from the heal until normal again"] == ["never", "", ""]
    assert rows["exits of workers"] == ["1", "", "w1 0, w2 1"]
    assert rows["unreadable lines in the ledger"] == ["7", "", ""]


def test_the_numbers_of_many_lost_tasks_are_cut_short():
    records = [*(accepted(number, 10 + number) for number in range(25)), done(0, 40)]
    notes = {measure.key: measure.note for measure in measures(build_drill(facts(), records))}
    assert notes["lost"].endswith(" 19, 20, ...")


def test_the_verdict_is_at_the_top():
    assert ElementTree.fromstring(page(build_drill(facts(), GAP), GAP)).findtext("body/h1").endswith(": passed")
    tree = ElementTree.fromstring(page(build_drill(facts(), BOUNDED), BOUNDED))
    assert tree.findtext("body/h1") == "A broker is frozen: FAILED"
    assert [item.text for item in tree.iterfind("body/ul/li")] == ["tasks lost 2, more than 0"]


def test_the_page_needs_no_other_file():
    text = page(build_drill(facts(), GAP), GAP)
    elements = list(ElementTree.fromstring(text).iter())
    assert not {element.tag.rpartition("}")[2] for element in elements} & {"link", "script", "img", "image", "iframe"}
    links = [value for element in elements for name, value in element.items() if name.endswith(("href", "src"))]
    assert [link for link in links if not link.startswith("#")] == []
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text


def step(name, victim, at, heals):
    return {"name": name, "victim": victim, "time": T0 + at, "heals": heals}


def test_a_storm_shows_each_fault_and_allows_no_parked_task():
    faults = [
        step("broker_killed", "mq1", 20, False),
        step("worker_frozen", "w2", 24, False),
        step("broker_killed", "mq1", 26, True),
        step("worker_frozen", "w2", 30, True),
    ]
    records = [*GAP, accepted(1, 50), {"event": "parked", "task_id": "t1"}]
    drill = build_drill(facts(faults=faults, bounds={"lost": 0, "parked": 0}), records)
    assert drill_report.fault_spans(drill) == [(0, 6), (4, 10)]
    assert drill["failures"] == ["tasks parked with a reason 1, more than 0"]
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page(drill, records)))
    assert "4.0 worker_frozen w2 begins 6.0 broker_killed mq1 ends 10.0 worker_frozen w2 ends" in text


def test_what_the_facts_say_is_escaped():
    hostile = '<script>1</script> & "$x$" \''
    tree = ElementTree.fromstring(page(build_drill(facts(title=hostile, victim=hostile, machine=hostile), GAP), GAP))
    assert tree.findtext("body/h1") == f"{hostile}: passed"
    assert tree.findtext("body/p").count(hostile) == 2
    assert tree.find(".//script") is None


def points(svg, style):
    """The points of the paths of an SVG whose style matches, a list of (x, y) for each."""
    return [
        [tuple(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))]
        for path in svg.iter(f"{SVG}path")
        if re.search(style, path.get("style", ""))
    ]


@pytest.mark.parametrize(("panel", "colour", "edges_of_gap"), [(0, "#1f77b4", (20, 80)), (1, "#2ca02c", (22, 78))])
def test_the_timeline_shows_the_load_the_gap_the_fault_and_the_heal(panel, colour, edges_of_gap):
    svg = ElementTree.fromstring(timeline(build_drill(facts(), GAP), GAP))
    (fault, _), *_ = points(svg, "stroke: #d62728")[panel]
    (heal, _), *_ = points(svg, "stroke-dasharray: .*stroke: #000000")[panel]
    (_, rate), *_ = points(svg, "stroke: #808080")[panel]
    (bars,) = points(svg, f"fill: {colour}")
    bottom = max(y for _, y in bars)

    def seconds(x):
        return pytest.approx((x - fault) / (heal - fault) * 10, abs=0.02)

    def height(at):
        x = fault + at * (heal - fault) / 10
        (y,) = {y for (left, y), (right, same) in pairwise(bars) if left < x < right and y == same}
        return pytest.approx((bottom - y) / (bottom - rate) * 100, abs=0.1)

    assert (seconds(min(bars)[0]), seconds(max(bars)[0])) == (-20, 40.5)
    assert [height(at) for at in (-10.2, -0.1, 3.1, 10.2)] == [100, 100, 0, 100]
    assert (height(0.1), height(6.2)) == edges_of_gap
    shade = points(svg, "fill: #d9d9d9")[2 * panel]
    assert (seconds(min(shade)[0]), seconds(max(shade)[0])) == (0.1, 6.1)
    texts = [element.text for element in svg.iter(f"{SVG}text")]
    assert texts.count("longest gap, 6.0 s") == 2
    assert {"fault", "heal", "accepted a second", "done a second", "seconds since the fault"} <= set(texts)


def test_a_run_that_is_shorter_than_a_bucket_has_a_timeline():
    records = [accepted(1, 20)]
    svg = ElementTree.fromstring(timeline(build_drill(facts(heal_time=T0 + 20), records), records))
    assert len(points(svg, "fill: #1f77b4")) == 1


def test_the_timeline_begins_with_the_fault_when_nothing_was_accepted_before_it():
    records = [refused(1, 10), accepted(2, 25)]
    svg = ElementTree.fromstring(timeline(build_drill(facts(), records), records))
    (bars,) = points(svg, "fill: #1f77b4")
    assert min(bars)[0] == points(svg, "stroke: #d62728")[0][0][0]


@pytest.fixture
def report(tmp_path):
    """Writes the report of facts and records; returns it and its folder."""

    def run(facts=FACTS, records=GAP):
        write_ledger(tmp_path / "ledger", records)
        return write_report(facts, tmp_path / "ledger", tmp_path / "out/new"), tmp_path / "out/new"

    return run


def write_ledger(folder, records):
    files = {}
    for record in records:
        name = f"{record['host']}/done-x.jsonl" if record["event"] == "done" else "mon1/accepted-x.jsonl"
        files.setdefault(folder / "r1" / name, []).append(json.dumps(record) + "\n")
    for path, lines in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))


def test_report_writes_both_files(report):
    drill, folder = report()
    assert drill == build_drill(facts(), GAP)
    assert {path.name for path in folder.iterdir()} == {"r1.json", "r1.html"}
    assert json.loads((folder / "r1.json").read_text()) == drill
    assert (folder / "r1.html").read_text().startswith("<!DOCTYPE html>")


def test_report_of_a_failed_drill(report):
    drill, folder = report(records=BOUNDED)
    assert summary(drill) == "broker_frozen  FAILED: tasks lost 2, more than 0"
    assert json.loads((folder / "r1.json").read_text())["passed"] is False


def test_a_line_cut_short_is_noted_and_no_failure(report, tmp_path):
    report()
    with (tmp_path / "ledger/r1/w1/done-x.jsonl").open("a") as file:
        file.write('{"event": "do')
    drill, folder = report(records=[])
    assert drill["passed"] is True
    assert json.loads((folder / "r1.json").read_text())["unreadable_lines"] == 1


def act(folder, *tasks):
    """Run tasks of action plugins, pairs of a name and arguments, in check mode; returns their results."""
    write_ledger(folder / "ledger", BOUNDED)
    found = [
        {"name": "Act", name: given, "register": f"r{n}", "ignore_errors": True}
        for n, (name, given) in enumerate(tasks)
    ]
    results = "{{ [" + ", ".join(task["register"] for task in found) + "] | to_json }}"
    copy = {"content": results, "dest": "{{ folder }}/results.json"}
    found.append({"name": "Keep the results", "ansible.builtin.copy": copy, "check_mode": False})
    play = {"name": "Act", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": found}
    (folder / "play.json").write_text(json.dumps([play]))
    variables = kit.extra_vars(folder=folder, rate=100, ansible_become=False)
    done = kit.run("ansible-playbook", "--check", folder / "play.json", *variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert kit.warnings_in(done.stdout + done.stderr) == []
    return json.loads((folder / "results.json").read_text())


LEDGER = {"ledger": "{{ folder }}/ledger"}
FOLDERS = LEDGER | {"folder": "{{ folder }}/new"}


def test_the_actions_report_and_count(tmp_path):
    # With a number as the playbook gives it.
    reported, counted = act(
        tmp_path,
        ("warren_drill_report", FOLDERS | {"facts": FACTS | {"rate": "{{ rate | float }}"}}),
        ("warren_count", LEDGER | {"run": "r1"}),
    )
    drill = json.loads(json.dumps(build_drill(facts(), BOUNDED)))
    assert reported["summary"] == "broker_frozen  FAILED: tasks lost 2, more than 0"
    assert (reported["changed"], reported["failed"], reported["passed"]) == (False, False, False)
    assert reported["page"] == str(tmp_path / "new/r1.html")
    assert (tmp_path / "new/r1.html").exists()
    assert json.loads((tmp_path / "new/r1.json").read_text()) == drill
    assert (counted["changed"], counted["failed"], counted["counts"]["lost"]) == (False, False, 2)
    assert counted["counts"].items() <= drill.items()


def test_what_the_actions_refuse_is_a_sentence(tmp_path):
    results = act(
        tmp_path,
        ("warren_drill_report", FOLDERS | {"facts": FACTS | {"rate": 0}}),
        ("warren_drill_report", FOLDERS | {"facts": FACTS | {"run": "r2"}}),
        ("warren_drill_report", FOLDERS | {"facts": FACTS, "folder": "{{ folder }}/play.json/new"}),
        ("warren_count", LEDGER | {"run": "r2"}),
        ("warren_count", LEDGER | {"run": "../r1"}),
    )
    assert all(result["failed"] for result in results)
    words = [
        "wrong facts: $.rate: 0 ",
        "no run 'r2' in ",
        "Not a directory",
        "no run 'r2' in ",
        "invalid run id '../r1'",
    ]
    for result, word in zip(results, words, strict=True):
        assert word in result["msg"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        *(({key: None}, rf"\$\.{key}: None") for key in FACTS if key != "brokers_back_seconds"),
        ({"rate": 0}, "rate: 0 "),
        ({"rate": "100"}, "rate: '100' is not of type 'number'"),
        ({"fault_time": True}, "fault_time: True is not of type 'number'"),
        ({"drill": "a b"}, "drill: 'a b'"),
        ({"run": "../r1"}, r"run: '\.\./r1'"),
        ({"run": "r2"}, "no run 'r2' in .*; the runs there are: r1"),
        ({"bounds": {"lost": 0, "done_gap": 15}}, r"bounds: .*'done_gap' was unexpected"),
        ({"bounds": {"lost": 0, "done_gap_seconds": "15"}}, "bounds.done_gap_seconds: '15' is not of type 'number'"),
        ({"bounds": {"lost": -1}}, "bounds.lost: -1 "),
        ({"worker_exits": {"w1": "no"}}, "worker_exits.w1: 'no' is not of type 'integer'"),
        ({"worker_hosts": "w1"}, "worker_hosts: 'w1' is not of type 'array'"),
        ({"worker_hosts": [1]}, r"worker_hosts\[0\]: 1 is not of type 'string'"),
        ({"brokers_back_seconds": "soon"}, "brokers_back_seconds: 'soon'"),
        ({"confirm_timeout_seconds": "5"}, "confirm_timeout_seconds: '5'"),
        ({"heal_time": T0 + 19}, "heal_time is before fault_time"),
        ({"fault_time": T0 - 1}, "fault_time .* is outside the load of run r1"),
        ({"fault_time": T0 + 60, "heal_time": T0 + 61}, "fault_time .* is outside the load of run r1"),
        ({"rate": float("nan")}, "wrong facts: Out of range float values are not JSON compliant"),
    ],
)
def test_wrong_facts_are_refused_in_one_line(report, tmp_path, wrong, words):
    with pytest.raises((InputError, LedgerError), match=f"^.*{words}.*\\Z"):
        report(FACTS | wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", FACTS)
def test_a_missing_fact_is_named(report, key):
    with pytest.raises(InputError, match=rf"^wrong facts: \$: '{key}' is a required property\Z"):
        report({name: value for name, value in FACTS.items() if name != key})


def test_facts_that_are_no_dict(report):
    with pytest.raises(InputError, match=r"\[\] is not of type 'object'"):
        report([])


def test_other_facts_are_kept():
    assert build_drill(facts(note="by hand"), GAP)["note"] == "by hand"


def of_run(drill="broker_frozen", fault_time=1.0, **more):
    """What the table reads of a report, with the facts."""
    derived = {
        "lost": 0,
        "duplicated": 0,
        "done_gap_seconds": 1.0,
        "accept_gap_seconds": 2.0,
        "worker_exits_total": 0,
        "normal_seconds": 3.0,
        "passed": True,
    }
    return FACTS | derived | {"drill": drill, "fault_time": fault_time} | more


def cells(text):
    """The rows of a table of Markdown, without its head."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]


def test_table_takes_the_worst_counts_and_the_median_seconds():
    reports = [
        of_run(done_gap_seconds=1.0, accept_gap_seconds=9.0, normal_seconds=1.0, lost=0, duplicated=7),
        of_run(done_gap_seconds=5.0, accept_gap_seconds=1.0, normal_seconds=8.0, lost=2, passed=False),
        of_run(done_gap_seconds=2.0, accept_gap_seconds=4.0, normal_seconds=2.0, worker_exits_total=3),
    ]
    assert cells(table(reports, markdown=True)) == [
        ["broker_frozen", "3", "2", "7", "2.0 (5.0)", "4.0 (9.0)", "3", "2.0", "1 of 3 failed"]
    ]


def test_table_of_one_run_has_no_brackets():
    assert cells(table([of_run()], markdown=True)) == [
        ["broker_frozen", "1", "0", "0", "1.0", "2.0", "0", "3.0", "passed"]
    ]
    nothing = of_run(passed=False, done_gap_seconds=None, accept_gap_seconds=None, normal_seconds=None)
    assert cells(table([nothing], markdown=True)) == [["broker_frozen", "1", "0", "0", "-", "-", "0", "-", "failed"]]


def test_table_counts_a_run_that_was_never_normal_as_the_slowest():
    runs = [of_run(normal_seconds=seconds) for seconds in (None, 1.0, 4.0)]
    assert cells(table(runs, markdown=True))[0][7] == "4.0"
    assert cells(table([*runs, of_run(normal_seconds=None)], markdown=True))[0][7] == "-"


def test_table_orders_drills_by_their_first_run_and_tells_settings_apart():
    reports = [
        of_run("b_drill", 5, settings="stock"),
        of_run("c_drill", 4),
        of_run("b_drill", 3),
        of_run("a_drill", 6, environment="quorum"),
        of_run("a_drill", 7, environment="lab"),
        of_run("c_drill", 1),
    ]
    names = [row[0] for row in cells(table(reports, markdown=True))]
    assert names == ["c_drill", "b_drill, tuned", "b_drill, stock", "a_drill, quorum", "a_drill, lab"]


def test_table_is_aligned_and_ends_with_the_verdict():
    head, *rows, total = table([of_run(), of_run("x", 9, passed=False), of_run("x", 10)]).splitlines()
    assert total == "2 passed, 1 failed"
    assert [row.index("passed" if row.startswith("b") else "1 of 2") for row in rows] == [head.index("verdict")] * 2
    assert table([of_run()], markdown=True).endswith(" |\n\n1 passed, 0 failed")


def test_table_reads_what_report_wrote(report, tmp_path, capsys):
    report()
    folder = tmp_path / "out/new"
    assert drill_report.main(["table", str(folder)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\nbroker_frozen +1 +0 +0 +6\.0 +6\.0 +1 +0\.0 +passed\n1 passed, 0 failed\n$", out)
    (folder / "other.json").write_text(json.dumps(of_run(passed=False)))
    assert drill_report.main(["table", str(folder), "--markdown"]) == 1
    assert capsys.readouterr().out == table([of_run(passed=False), build_drill(facts(), GAP)], markdown=True) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no report of a drill"),
        ("{", "x.json cannot be read"),
        ('{"passed": NaN}', "x.json cannot be read: NaN is no JSON"),
        ("[]", "x.json is not the report of a drill"),
        (json.dumps(FACTS), "x.json is not the report of a drill"),
        ('{"passed": true}', "x.json is not the report of a drill"),
    ],
)
def test_table_of_a_folder_without_reports(tmp_path, capsys, text, words):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    assert drill_report.main(["table", str(tmp_path)]) == 2
    assert re.fullmatch(f"drill_report.py: .*{words}.*\n", capsys.readouterr().err)
