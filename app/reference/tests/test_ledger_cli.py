import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from warren_app.ledger import cli, records
from warren_app.ledger.submit import Totals
from warren_app.ledger.tasks import record, record_once

HOST = socket.gethostname()


@pytest.fixture
def published(ledger_dir, monkeypatch):
    """Replace publishing by a list of the apply_async calls."""
    calls = []
    monkeypatch.setattr(cli, "_refuse_memory_broker", lambda: None)
    monkeypatch.setattr(record, "apply_async", lambda **options: calls.append(options))
    return calls


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def do(run, number):
    records.append(
        "done",
        run,
        {
            "event": "done",
            "number": number,
            "task_id": f"t{number}",
            "time": 2.0,
            "host": "w1",
            "redelivered": False,
        },
    )


def accept(run, number):
    records.append(
        "accepted",
        run,
        {"event": "accepted", "number": number, "task_id": f"t{number}", "time": 1.0},
    )


def test_round_trip_through_a_real_worker(worker, ledger_dir, monkeypatch, capsys):
    # In this process the memory broker has a consumer: the worker's thread.
    monkeypatch.setattr(cli, "_refuse_memory_broker", lambda: None)
    assert cli.main(["submit", "--run", "r", "--count", "25", "--payload-bytes", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "run       r",
        "accepted  25",
        "refused   0",
    ]
    assert cli.main(["report", "--run", "r", "--wait", "60", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["accepted"], report["done"], report["lost"]) == (25, 25, 0)
    assert (report["duplicated"], report["unrecorded"], report["workers"]) == (0, 0, {HOST: 25})
    accepted = {entry["number"]: entry for entry in lines(ledger_dir / f"r/accepted-{HOST}.jsonl")}
    done = {entry["number"]: entry for entry in lines(ledger_dir / f"r/done-{HOST}.jsonl")}
    assert sorted(accepted) == sorted(done) == list(range(1, 26))
    entry = done[7]
    assert entry["task_id"] == accepted[7]["task_id"]
    assert (entry["run"], entry["host"], entry["pid"]) == ("r", HOST, os.getpid())
    assert (entry["queue"], entry["redelivered"]) == ("celery", False)
    assert entry["time"] >= accepted[7]["submitted"]


def test_a_mixed_load_is_counted_like_any_other(worker, ledger_dir, monkeypatch, capsys):
    """Each is done once, whatever comes before it. Once-only ones need a Redis for their locks."""
    monkeypatch.setattr(cli, "_refuse_memory_broker", lambda: None)
    once = []
    monkeypatch.setattr(record_once, "apply_async", lambda **options: once.append(options))
    assert cli.main(["submit", "--run", "m", "--count", "10", "--mix"]) == 0
    cli.main(["report", "--run", "m", "--wait", "30", "--json"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["accepted"], report["done"], report["lost_numbers"]) == (10, 8, [4, 9])
    assert (report["duplicated"], report["unrecorded"]) == (0, 0)
    assert [call["args"] for call in once] == [("m", 4), ("m", 9)]
    accepted = {entry["number"]: entry for entry in lines(ledger_dir / f"m/accepted-{HOST}.jsonl")}
    done = {entry["number"]: entry for entry in lines(ledger_dir / f"m/done-{HOST}.jsonl")}
    assert all(done[number]["task_id"] == accepted[number]["task_id"] for number in done)
    waited = {number: done[number]["time"] - accepted[number]["submitted"] for number in done}
    assert waited[1] >= 2 and waited[6] >= 7
    assert waited[2] >= 1 and waited[7] >= 1


def test_the_record_is_the_last_thing_the_task_does(ledger_dir, monkeypatch):
    def killed(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("warren_app.ledger.tasks.time.sleep", killed)
    with pytest.raises(KeyboardInterrupt):
        record("r", 1, work_seconds=5)
    assert not ledger_dir.exists()


def test_the_task_refuses_an_invalid_run_before_it_works(ledger_dir, monkeypatch):
    monkeypatch.setattr("warren_app.ledger.tasks.time.sleep", lambda seconds: pytest.fail("slept"))
    with pytest.raises(ValueError, match="invalid run id"):
        record("../r", 1)


def test_submit_passes_what_was_asked_and_no_more(published, capsys):
    cli.main(
        ["submit", "--run", "r", "--count", "2", "--work-seconds", "0.5", "--payload-bytes", "3"]
    )
    assert len({call.pop("task_id") for call in published}) == 2
    assert published == [
        {"args": ("r", number), "kwargs": {"work_seconds": 0.5, "payload": "xxx"}}
        for number in (1, 2)
    ]
    published.clear()
    cli.main(["submit", "--run", "r2", "--count", "1", "--queue", "slow"])
    assert published[0]["queue"] == "slow"


def test_submit_defaults(published, ledger_dir, capsys):
    assert cli.main(["submit"]) == 0
    assert len(published) == 1000
    run = capsys.readouterr().out.splitlines()[0].split()[1]
    assert [path.name for path in ledger_dir.iterdir()] == [run]


def test_seconds_alone_is_not_bounded_by_the_default_count(published, monkeypatch, capsys):
    asked = {}

    def submit(*args, **options):
        asked.update(options)
        return Totals()

    monkeypatch.setattr(cli, "submit", submit)
    cli.main(["submit", "--seconds", "3"])
    assert (asked["count"], asked["seconds"], asked["rate"]) == (None, 3.0, 0.0)


def test_submit_exit_code_when_refused(published, ledger_dir, monkeypatch, capsys):
    def apply_async(args, **options):
        if args[1] == 2:
            raise ConnectionResetError("gone")

    monkeypatch.setattr(record, "apply_async", apply_async)
    assert cli.main(["submit", "--run", "r", "--count", "3"]) == 1
    assert "accepted  2\nrefused   1\n" in capsys.readouterr().out
    assert [entry["event"] for entry in lines(ledger_dir / f"r/accepted-{HOST}.jsonl")] == [
        "accepted",
        "refused",
        "accepted",
    ]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_submit_after_the_publish_under_way(published, monkeypatch, capsys, signum):
    before = signal.getsignal(signum)

    def apply_async(args, **options):
        if args[1] == 3:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(record, "apply_async", apply_async)
    assert cli.main(["submit", "--run", "r", "--count", "50"]) == 0
    assert "accepted  3\nrefused   0\n" in capsys.readouterr().out
    assert signal.getsignal(signum) is before


def test_a_second_signal_interrupts_the_publish(published, monkeypatch, capsys):
    def apply_async(args, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("not interrupted")

    monkeypatch.setattr(record, "apply_async", apply_async)
    assert cli.main(["submit", "--run", "r", "--count", "50"]) == 1
    assert "accepted  0\nrefused   1\n" in capsys.readouterr().out


def test_progress_is_a_line_every_tenth_without_a_terminal(published, capsys):
    cli.main(["submit", "--run", "r", "--count", "50"])
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "run r"
    assert [line.split(" %")[0] for line in shown[1:]] == [str(10 * n) for n in range(1, 11)]
    assert shown[5] == "50 %: accepted 25, refused 0"


def test_progress_is_a_bar_on_a_terminal(published, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    cli.main(["submit", "--run", "r", "--count", "50"])
    assert "50/50" in terminal.getvalue()
    assert " %:" not in terminal.getvalue()


def test_submit_refuses_the_memory_broker(ledger_dir, capsys):
    assert cli.main(["submit"]) == 2
    assert "memory broker" in capsys.readouterr().err
    assert not ledger_dir.exists()


def test_an_unwritable_ledger_is_bad_input(published, ledger_dir, capsys):
    ledger_dir.write_text("a file, not a folder")
    assert cli.main(["submit", "--run", "r", "--count", "1"]) == 2
    assert "ledger: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["submit", "--run", "../r"],
        ["submit", "--count", "0"],
        ["submit", "--rate", "-1"],
        ["submit", "--rate", "nan"],
        ["submit", "--seconds", "inf"],
        ["submit", "--payload-bytes", "-1"],
        ["report"],
        ["report", "--run", ".r"],
    ],
)
def test_bad_arguments(argv, published, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert published == []


def test_report_exit_codes(ledger_dir, capsys):
    assert cli.main(["report", "--run", "r"]) == 2
    assert "no run 'r'" in capsys.readouterr().err
    do("r", 1)
    assert cli.main(["report", "--run", "r"]) == 2
    assert "accepted-*.jsonl" in capsys.readouterr().err
    accept("r", 1)
    accept("r", 2)
    assert cli.main(["report", "--run", "r"]) == 1
    assert "1: 2\n" in capsys.readouterr().out
    do("r", 2)
    assert cli.main(["report", "--run", "r"]) == 0
    assert "lost                                     0\n" in capsys.readouterr().out


def test_report_reads_the_folder_it_is_given(ledger_dir, tmp_path, capsys):
    accept("r", 1)
    ledger_dir.rename(tmp_path / "elsewhere")
    assert cli.main(["report", "--run", "r", "--dir", str(tmp_path / "elsewhere"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["lost_numbers"] == [1]


def test_report_waits_until_nothing_is_missing(ledger_dir, monkeypatch, capsys):
    accept("r", 1)
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: do("r", 1))
    assert cli.main(["report", "--run", "r", "--wait", "600"]) == 0


def test_report_stops_waiting(ledger_dir, monkeypatch, capsys):
    accept("r", 1)
    now = [0.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert cli.main(["report", "--run", "r", "--wait", "3.2"]) == 1
    assert now[0] == pytest.approx(3.2)


def test_commands_and_a_worker_of_their_own(tmp_path):
    """The whole path in separate processes, over a broker made of files."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "filebroker.py").write_text(
        "broker_url = 'filesystem://'\n"
        "broker_transport_options = dict(\n"
        "    data_folder_in='queue', data_folder_out='queue', control_folder='queue')\n"
    )
    environment = os.environ | {
        "CELERY_CONFIG_MODULE": "filebroker",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "LEDGER_DIR": str(tmp_path / "ledger"),
    }
    ledger = [sys.executable, "-c", "import sys, warren_app.ledger.cli as c; sys.exit(c.main())"]

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "warren_app", "worker", "-c", "2"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        submitted = run(*ledger, "submit", "--run", "r", "--count", "20")
        assert submitted.returncode == 0, submitted.stderr
        reported = run(*ledger, "report", "--run", "r", "--wait", "90", "--json")
        assert reported.returncode == 0, reported.stdout + reported.stderr
        assert json.loads(reported.stdout)["done"] == 20
        # Tasks are done in the children of the pool, not in the worker's main process.
        done = lines(tmp_path / f"ledger/r/done-{HOST}.jsonl")
        assert worker.pid not in {entry["pid"] for entry in done}
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
