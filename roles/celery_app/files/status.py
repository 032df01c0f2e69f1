"""Print the release of this host and the settings of its programs, as JSON.

Usage: python3 - HOME

    release -- what HOME/current names, or null
    programs -- for each program of supervisord that has settings: `wanted`, the fingerprint in its entry, and
        `running`, the one that its process was started with, or null where it does not run
"""

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

ENTRIES = Path("/etc/supervisor/conf.d")
FINGERPRINT = re.compile(r'WARREN_FINGERPRINT="?([^",\0]+)')


def wanted():
    """Return the fingerprint of each program's entry."""
    entries = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    entries.read(sorted(ENTRIES.glob("*.conf")))
    found = {
        section.removeprefix("program:"): FINGERPRINT.search(entries.get(section, "environment", fallback=""))
        for section in entries.sections()
        if section.startswith("program:")
    }
    return {name: match[1] for name, match in found.items() if match}


def running(process):
    """Return the fingerprint that a process was started with; None where it has none, or has ended."""
    try:
        match = FINGERPRINT.search(Path(f"/proc/{process}/environ").read_text(errors="replace"))
    except OSError:
        return None
    return match and match[1]


def processes():
    """Return the process of each program that runs."""
    said = subprocess.run(["supervisorctl", "status"], capture_output=True, text=True, timeout=15, check=False).stdout
    return dict(re.findall(r"^(\S+) +RUNNING +pid (\d+),", said, re.M))


def main():
    """Print it."""
    current, started = Path(sys.argv[1], "current"), processes()
    programs = {
        name: {"wanted": fingerprint, "running": running(started[name]) if name in started else None}
        for name, fingerprint in wanted().items()
    }
    release = current.readlink().name if current.is_symlink() else None
    print(json.dumps({"release": release, "programs": programs}))


if __name__ == "__main__":
    main()
