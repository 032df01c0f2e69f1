"""Print what the worker programs of this host are and do, as JSON: a dict for each program.

Usage: python3 - RUN HOST PROGRAM [PROGRAM ...]      (as root)

RUN is the command that runs a program of the release with its settings. The project itself is not imported: that may
take long. A program has these; what is not known is null.

    state, pid, uptime_seconds -- as supervisord says
    exits -- how often supervisord saw it exit, as far back as its log goes
    arguments -- its command line, a list
    memory_bytes, zombies -- of the program and its children; memory that they share is counted once (PSS),
        and a zombie is a process that has ended and that its parent has not looked after
    largest_child_bytes -- resident memory of the largest child
    answering -- whether it answers through the broker within a few seconds
    error -- why it could not be asked
    idle -- where the watchdog has found that its pool does nothing: `killed` if its processes end before they can
        begin, else `still`
    pool, concurrency, prefetch, active, reserved, done -- what it answers: kind and size of the pool, tasks that it
        fetches at most, tasks running, tasks fetched, and tasks done since its start
"""

import json
import re
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

SECONDS = 15
# What the watchdog remembers.
POOLS = Path("/var/lib/celery/metrics/pools.json")
ASK = """
import json, os, sys
from celery import Celery
app, nodes = Celery(config_source=os.environ["CELERY_CONFIG_MODULE"]), sys.argv[1:]
def ask(method, nodes):
    return nodes and getattr(app.control.inspect(destination=nodes, timeout=2), method)() or {}
stats = ask("stats", nodes)
active, reserved = (ask(method, list(stats)) for method in ("active", "reserved"))
print(json.dumps({
    node: {
        "pool": answer["pool"]["implementation"].partition(":")[0].rpartition(".")[2],
        "concurrency": answer["pool"].get("max-concurrency"),
        "prefetch": answer.get("prefetch_count"),
        "active": len(active.get(node, [])),
        "reserved": len(reserved.get(node, [])),
        "done": sum(answer["total"].values()),
    }
    for node, answer in stats.items()
}))
"""
# Null where nothing says it.
UNKNOWN = """state pid uptime_seconds arguments memory_bytes zombies largest_child_bytes idle
    pool concurrency prefetch active reserved done"""


def supervised():
    """Return what supervisord says of each of its programs; {} when it does not answer."""
    said = subprocess.run(["supervisorctl", "status"], capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = re.findall(r"^(\S+) +([A-Z]+)(?: +pid (\d+), uptime (.*))?", said.stdout, re.M)
    return {
        name: {"state": state, "pid": int(pid) if pid else None, "uptime_seconds": seconds(uptime) if uptime else None}
        for name, state, pid, uptime in lines
    }


def seconds(uptime):
    """Return the seconds of an uptime as supervisord writes it, `1 day, 0:03:51`."""
    days, hours, minutes, rest = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d+):(\d+)", uptime).groups(default="0")
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(rest)


def exits():
    """Return how often each program exited, as far back as supervisord's log goes."""
    log = Path("/var/log/supervisor/supervisord.log")
    return Counter(re.findall(r" exited: (\S+) ", log.read_text(errors="replace") if log.exists() else ""))


def processes(group):
    """Return what the processes of a group have and are; the first is the program itself."""
    shared, children, zombies = [], [], 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # The fields after the name, which may hold anything: state, parent, group.
            state, _, its_group = process.joinpath("stat").read_text().rpartition(")")[2].split()[:3]
            if its_group != str(group):
                continue
            if state == "Z":
                zombies += 1
                continue
            shared.append(int(re.search(r"^Pss: +(\d+)", process.joinpath("smaps_rollup").read_text(), re.M)[1]))
            if process.name != str(group):
                children.append(int(re.search(r"^VmRSS:\s+(\d+)", process.joinpath("status").read_text(), re.M)[1]))
        except (OSError, TypeError):
            # It has ended meanwhile.
            continue
    return {
        "memory_bytes": sum(shared) * 1024,
        "zombies": zombies,
        "largest_child_bytes": max(children, default=0) * 1024,
        "arguments": Path(f"/proc/{group}/cmdline").read_text().split("\0")[:-1],
    }


def answers(run, nodes):
    """Return what the nodes answer through the broker, and why none could be asked."""
    try:
        asked = subprocess.run(
            [run, "python", "-c", ASK, *nodes], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, f"the broker was not reached within {SECONDS} s"
    if asked.returncode:
        return {}, asked.stderr.strip().splitlines()[-1][:200]
    return json.loads(asked.stdout), None


def main():
    """Print it."""
    run, host, *programs = sys.argv[1:]
    known, exited = supervised(), exits()
    heard, error = answers(run, [f"{program}@{host}" for program in programs])
    pools = json.loads(POOLS.read_text()) if POOLS.exists() else {}
    found = {}
    for program in programs:
        answer, said = heard.get(f"{program}@{host}"), dict.fromkeys(UNKNOWN.split()) | known.get(program, {})
        said |= {"exits": exited[program], "answering": answer is not None, "error": error, **(answer or {})}
        pool = pools.get(program, {})
        # One that was started since is another.
        if pool.get("idle") and pool["pid"] == said["pid"]:
            said["idle"] = "killed" if pool["replaced"] else "still"
        # It may have ended meanwhile.
        with suppress(OSError):
            said |= processes(said["pid"]) if said["pid"] else {}
        found[program] = said
    print(json.dumps(found))


if __name__ == "__main__":
    main()
