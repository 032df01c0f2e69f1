"""The `ledger` command: `ledger submit` and `ledger report`."""

import argparse
import json
import secrets
import signal
import sys
import time
from pathlib import Path

from tqdm import tqdm

from warren_app.celery import app
from warren_app.ledger import records
from warren_app.ledger.report import build_report, format_report
from warren_app.ledger.submit import submit
from warren_app.ledger.tasks import publish_in_turn, record

DEFAULT_COUNT = 1000
WAIT_POLL_SECONDS = 0.5


def main(argv=None):
    """Run the command line `argv` (default: sys.argv) and return the exit code.

    0 all accepted, or nothing lost; 1 something refused, or something lost; 2 bad input.
    """
    args = _parser().parse_args(argv)
    try:
        return args.command(args)
    except (records.LedgerError, OSError) as error:
        # An OSError is about the ledger's files: those of publishing are records, see submit().
        print(f"ledger: {error}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="ledger", description="Prove by counting that a Celery cluster loses no task."
    )
    commands = parser.add_subparsers(required=True)

    sub = commands.add_parser(
        "submit",
        help="submit numbered tasks and record which were accepted",
        description="Submit numbered tasks and record which were accepted by the broker. Exit "
        "code 0: all were accepted; 1: some publish reported an error; 2: bad input.",
    )
    sub.set_defaults(command=_submit)
    sub.add_argument("--run", type=_run_id, metavar="ID", help="run id (default: a new one)")
    sub.add_argument(
        "--count",
        type=_positive_int,
        metavar="N",
        help=f"stop after N tasks (default: {DEFAULT_COUNT}, or no bound when --seconds is given)",
    )
    sub.add_argument(
        "--rate",
        type=_not_negative,
        default=0.0,
        metavar="PER_SECOND",
        help="tasks a second; after a stall at most one second's worth of tasks is made up for "
        "(default: 0, as fast as possible)",
    )
    sub.add_argument("--seconds", type=_not_negative, metavar="S", help="stop after S seconds")
    sub.add_argument(
        "--queue", metavar="NAME", help="queue (default: as the configuration routes the task)"
    )
    sub.add_argument(
        "--work-seconds",
        type=_not_negative,
        default=0.0,
        metavar="S",
        help="seconds that each task works (default: 0)",
    )
    sub.add_argument(
        "--countdown",
        type=_not_negative,
        default=0.0,
        metavar="S",
        help="seconds after which each task is due (default: 0)",
    )
    sub.add_argument(
        "--mix",
        action="store_true",
        help="in turn plain tasks, some with a countdown, with a retry, at the end of a chord, and "
        "once-only ones",
    )
    sub.add_argument(
        "--payload-bytes",
        type=_not_negative_int,
        default=0,
        metavar="N",
        help="bytes of filler in each task (default: 0)",
    )

    rep = commands.add_parser(
        "report",
        help="count what was lost",
        description="Compare what was accepted with what was done. Exit code 0: nothing lost; "
        "1: something lost; 2: bad input.",
    )
    rep.set_defaults(command=_report)
    rep.add_argument("--run", type=_run_id, metavar="ID", required=True, help="run id")
    rep.add_argument(
        "--dir",
        type=Path,
        metavar="FOLDER",
        help="folder that holds the run's folder (default: $LEDGER_DIR or ./ledger)",
    )
    rep.add_argument("--json", action="store_true", help="print one JSON object")
    rep.add_argument(
        "--wait",
        type=_not_negative,
        default=0.0,
        metavar="SECONDS",
        help="read again until nothing is missing, for at most so long (default: 0)",
    )
    return parser


def _run_id(text):
    try:
        return records.validate_run(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _not_negative(text):
    value = float(text)
    # Written so that nan, which compares false with everything, is refused too.
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {text}")
    return value


def _not_negative_int(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def _positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def _submit(args):
    _refuse_memory_broker()
    run = args.run or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    count = DEFAULT_COUNT if args.count is None and args.seconds is None else args.count
    options = {} if args.queue is None else {"queue": args.queue}
    if args.countdown:
        options["countdown"] = args.countdown
    payload = "x" * args.payload_bytes

    def publish(number, task_id):
        work = {"work_seconds": args.work_seconds, "payload": payload}
        if args.mix:
            publish_in_turn(run, number, task_id, **work, **options)
        else:
            record.apply_async(args=(run, number), kwargs=work, task_id=task_id, **options)

    print(f"run {run}", file=sys.stderr)
    began = time.monotonic()
    with _Stop() as stop, _progress(count, args.seconds) as progress:
        totals = submit(
            run,
            publish,
            lambda entry: records.append("accepted", run, entry),
            count=count,
            seconds=args.seconds,
            rate=args.rate,
            stopping=lambda: stop.requested,
            progress=progress.update,
        )
    print(f"run       {run}")
    print(f"accepted  {totals.accepted}")
    print(f"refused   {totals.refused}")
    print(f"seconds   {time.monotonic() - began:.1f}")
    return 1 if totals.refused else 0


def _refuse_memory_broker():
    """Raise LedgerError when the configured broker is the memory transport."""
    try:
        connection = app.connection_for_write()
    except ImportError as error:
        raise records.LedgerError(
            f"the module that CELERY_CONFIG_MODULE names cannot be imported: {error}"
        ) from error
    with connection:
        if connection.transport.driver_type == "memory":
            raise records.LedgerError(
                "the memory broker lives inside this process, so nobody could consume the tasks; "
                "set CELERY_CONFIG_MODULE to a configuration with a real broker_url."
            )


def _report(args):
    base = args.dir or records.ledger_dir()
    deadline = time.monotonic() + args.wait
    while True:
        found = records.read_run(base, args.run)
        report = build_report(args.run, found.records, found.unreadable_lines)
        left = deadline - time.monotonic()
        if not report["lost"] or left <= 0:
            break
        time.sleep(min(left, WAIT_POLL_SECONDS))
    print(json.dumps(report) if args.json else format_report(report))
    return 1 if report["lost"] else 0


class _Stop:
    """While entered, turns SIGINT and SIGTERM into `requested`; a second one interrupts.

    The first signal lets the publish under way finish, so that its outcome is known.
    """

    def __init__(self):
        self.requested = False

    def __enter__(self):
        self._before = {
            signum: signal.signal(signum, self._on_signal)
            for signum in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *exc_info):
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _on_signal(self, signum, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def _progress(count, seconds):
    return _Bar(count) if sys.stderr.isatty() else _Lines(count, seconds)


class _Bar:
    """A progress bar on stderr: accepted of `count` (None: unknown)."""

    def __init__(self, count):
        self._bar = tqdm(total=count, unit="task", desc="accepted", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._bar.close()

    def update(self, totals):
        if totals.refused:
            self._bar.set_postfix(refused=totals.refused, refresh=False)
        self._bar.update(totals.accepted - self._bar.n)


class _Lines:
    """A line on stderr for every 10 % of `count` or of `seconds`, whichever is further."""

    def __init__(self, count, seconds):
        self._count = count
        self._seconds = seconds
        self._began = time.monotonic()
        self._tenths = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def update(self, totals):
        parts = [0.0]
        if self._count:
            parts.append((totals.accepted + totals.refused) / self._count)
        if self._seconds:
            parts.append((time.monotonic() - self._began) / self._seconds)
        tenths = min(10, int(max(parts) * 10))
        if tenths > self._tenths:
            self._tenths = tenths
            print(
                f"{tenths * 10} %: accepted {totals.accepted}, refused {totals.refused}",
                file=sys.stderr,
                flush=True,
            )
