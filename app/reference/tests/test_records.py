import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from warren_app.ledger import records

HOST = socket.gethostname()


def entry(event="accepted", number=1, **more):
    record = {"event": event, "number": number, "task_id": f"t{number}", "time": 1.5}
    if event == "done":
        record |= {"host": "w1", "redelivered": False}
    return record | more


@pytest.mark.parametrize("run", ["a", "2025-01-01_x.y", "_", "a..b"])
def test_valid_run_ids(run):
    assert records.validate_run(run) == run


@pytest.mark.parametrize(
    "run", ["", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "\u00e4", None, 7]
)
def test_invalid_run_ids(run, ledger_dir):
    with pytest.raises(ValueError, match="invalid run id"):
        records.validate_run(run)
    with pytest.raises(ValueError, match="invalid run id"):
        records.append("done", run, entry())
    with pytest.raises(ValueError, match="invalid run id"):
        records.read_run(ledger_dir, run)
    assert not ledger_dir.exists()


def test_the_default_folder(monkeypatch):
    monkeypatch.delenv("LEDGER_DIR", raising=False)
    assert str(records.ledger_dir()) == "ledger"
    monkeypatch.setenv("LEDGER_DIR", "/somewhere")
    assert str(records.ledger_dir()) == "/somewhere"


def test_append_then_read(ledger_dir):
    records.append("accepted", "r", entry())
    records.append("done", "r", entry("done"))
    assert {path.name for path in (ledger_dir / "r").iterdir()} == {
        f"accepted-{HOST}.jsonl",
        f"done-{HOST}.jsonl",
    }
    found = records.read_run(ledger_dir, "r")
    assert found.records == [entry(), entry("done")]
    assert found.unreadable_lines == 0


APPEND_MANY = """
import sys
from warren_app.ledger import records
first = int(sys.argv[1])
for number in range(first, first + 100):
    records.append("done", "r", {
        "event": "done", "number": number, "task_id": str(number), "time": 1.5, "host": "w1",
        "redelivered": False, "filler": "x" * 20_000,
    })
"""


def test_many_processes_share_a_file(ledger_dir):
    records.append("accepted", "r", entry())
    # The lines are longer than the unit of a buffered writer, so that a torn write would show.
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(1000 * index)], env=environment)
        for index in range(1, 7)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 6
    found = records.read_run(ledger_dir, "r")
    assert found.unreadable_lines == 0
    numbers = sorted(record["number"] for record in found.records if record["event"] == "done")
    assert numbers == [1000 * index + i for index in range(1, 7) for i in range(100)]


def test_one_write_call_for_each_record(ledger_dir, monkeypatch):
    written = []
    real_write = os.write

    def write(fd, data):
        written.append(data)
        return real_write(fd, data)

    monkeypatch.setattr(os, "write", write)
    records.append("done", "r", entry("done"))
    assert len(written) == 1
    assert written[0].endswith(b"}\n")


def test_a_write_cut_short_is_an_error(ledger_dir, monkeypatch):
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) - 1)
    with pytest.raises(OSError, match="bytes of a record were written"):
        records.append("done", "r", entry("done"))


def test_damaged_lines_are_counted_not_fatal(ledger_dir):
    folder = ledger_dir / "r"
    folder.mkdir(parents=True)
    good = json.dumps(entry("done")).encode() + b"\n"
    (folder / "accepted-p.jsonl").write_bytes(json.dumps(entry()).encode() + b"\n")
    no_id = json.dumps({"event": "done", "number": 3}).encode() + b"\n"
    (folder / "done-w1.jsonl").write_bytes(b"\xc3(\n[1]\n" + no_id + good + good[:-9])
    found = records.read_run(ledger_dir, "r")
    assert found.unreadable_lines == 4
    assert found.records == [entry(), entry("done")]


def test_files_are_collected_from_subfolders_and_copies_count_once(ledger_dir):
    for name, record in {
        "accepted-p.jsonl": entry(),
        "w1/done-w1.jsonl": entry("done"),
        "copy/done-w1.jsonl": entry("done"),
        "w2/deep/done-w2.jsonl": entry("done", host="w2"),
        "notes.jsonl": entry(number=99),
    }.items():
        path = ledger_dir / "r" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record) + "\n")
    found = records.read_run(ledger_dir, "r")
    assert [record.get("host") for record in found.records] == [None, "w1", "w2"]


def test_unknown_run_names_the_known_ones(ledger_dir):
    with pytest.raises(records.LedgerError, match="there are no runs there"):
        records.read_run(ledger_dir, "r")
    records.append("accepted", "other", entry())
    with pytest.raises(records.LedgerError, match="the runs there are: other"):
        records.read_run(ledger_dir, "r")


def test_without_the_producers_file(ledger_dir):
    records.append("done", "r", entry("done"))
    with pytest.raises(records.LedgerError, match="ledger report --run r --dir"):
        records.read_run(ledger_dir, "r")
