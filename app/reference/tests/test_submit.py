import itertools

import pytest

from warren_app.ledger.submit import MAX_ERROR_TEXT, Pacer, Totals, submit


class Clock:
    """A clock that only `sleep` moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def run_submit(clock, publish, **options):
    written = []
    totals = submit("r", publish, written.append, clock=clock, sleep=clock.sleep, **options)
    return totals, written


def test_a_steady_rate_does_not_drift(clock):
    times = []

    def publish(number, task_id):
        times.append(clock.now - 100)
        clock.now += 0.05

    run_submit(clock, publish, count=101, rate=10)
    assert times == pytest.approx([i / 10 for i in range(101)])


def test_a_short_stall_is_made_up_for(clock):
    pacer = Pacer(10, clock)
    assert pacer.delay() == 0
    clock.now += 0.55
    delays = [pacer.delay() for _ in range(7)]
    assert delays == pytest.approx([0, 0, 0, 0, 0, 0.05, 0.15])


def test_after_a_long_stall_one_second_is_made_up_for(clock):
    pacer = Pacer(10, clock)
    pacer.delay()
    clock.now += 60
    delays = [pacer.delay() for _ in range(20)]
    assert sum(delay == 0 for delay in delays) in (10, 11)
    assert delays[-1] == pytest.approx(0.9)


def test_rate_zero_never_waits(clock):
    pacer = Pacer(0, clock)
    delays = []
    for _ in range(5):
        delays.append(pacer.delay())
        clock.now += 0.3
    assert delays == [0] * 5


def test_numbers_and_accepted_records(clock):
    published = []

    def publish(number, task_id):
        published.append((number, task_id))
        clock.now += 0.25

    totals, written = run_submit(clock, publish, count=3)
    assert totals == Totals(accepted=3, refused=0)
    assert [(record["number"], record["task_id"]) for record in written] == published
    assert [number for number, _ in published] == [1, 2, 3]
    assert len({task_id for _, task_id in published}) == 3
    for record in written:
        assert (record["event"], record["run"]) == ("accepted", "r")
        assert record["waited"] == pytest.approx(0.25)
        assert record["submitted"] <= record["time"]


def test_a_refused_publish_is_recorded_and_does_not_stop_the_run(clock):
    def publish(number, task_id):
        if number == 2:
            raise ConnectionError("no route " + "x" * 1000)

    totals, written = run_submit(clock, publish, count=3)
    assert totals == Totals(accepted=2, refused=1)
    assert [record["event"] for record in written] == ["accepted", "refused", "accepted"]
    assert written[1]["error"] == "ConnectionError"
    assert written[1]["message"].startswith("no route x")
    assert len(written[1]["message"]) == MAX_ERROR_TEXT


def test_seconds_end_a_run_even_in_the_middle_of_a_wait(clock):
    totals, _ = run_submit(clock, lambda number, task_id: None, seconds=5, rate=0.01)
    assert totals.accepted == 1
    assert clock.now == pytest.approx(105)


def test_count_and_seconds_both_bound_a_run(clock):
    def publish(number, task_id):
        clock.now += 1

    assert run_submit(clock, publish, count=3, seconds=10)[0].accepted == 3
    assert run_submit(clock, publish, count=30, seconds=10)[0].accepted == 10


def test_stopping_ends_a_wait_early(clock):
    asked = itertools.count()
    totals, _ = run_submit(
        clock, lambda number, task_id: None, count=2, rate=0.001, stopping=lambda: next(asked) > 5
    )
    assert totals.accepted == 1
    assert clock.now < 102


def test_progress_sees_every_task(clock):
    seen = []
    run_submit(
        clock,
        lambda number, task_id: None,
        count=3,
        progress=lambda totals: seen.append(totals.accepted),
    )
    assert seen == [1, 2, 3]
