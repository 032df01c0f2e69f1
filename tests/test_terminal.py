"""A command that root runs as the project's user types nothing into root's shell, and is as any command otherwise."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest
from kit import PROJECT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands as others"),
    # They send signals to sessions and process groups, and pytest's workers beside them did not survive that.
    pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="`make unit-quick` runs it in a process of its own"),
]

USER = "nobody"
# What `run` did before: the command keeps root's terminal.
SETPRIV = f"setpriv --reuid={USER} --regid=nogroup --init-groups --"
ENDS = 20

# Types a line into each terminal that it has, and says which these are.
TYPE = """
import fcntl, json, os, sys, termios
found, own = {}, None
descriptors = {0: "input", 1: "output", 2: "errors"}
try:
    descriptors[os.open("/dev/tty", os.O_RDWR)] = "own"
except OSError:
    pass
for descriptor, name in descriptors.items():
    if os.isatty(descriptor):
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        found[name] = {"number": os.fstat(descriptor).st_rdev, "reads": mode != os.O_WRONLY, "types": True}
        try:
            for letter in b"evil\\n":
                fcntl.ioctl(descriptor, termios.TIOCSTI, bytes([letter]))
        except OSError:
            found[name]["types"] = False
if "own" in found:
    found["own"]["number"] = int(open("/proc/self/stat").read().rpartition(")")[2].split()[4])
open(sys.argv[1], "w").write(json.dumps(found))
"""

# Says that it runs, and which signal it gets. Not by a handler: what one raises is lost while Python closes a file.
WAIT = """
import signal, sys
signals = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
# As in every program that does not say otherwise.
assert signal.SIG_IGN not in map(signal.getsignal, signals)
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
open(sys.argv[1] + ".runs", "w").write("runs")
got = signal.sigtimedwait(signals, 60)
open(sys.argv[1], "a").write(signal.Signals(got.si_signo).name)
sys.exit(5)
"""


@pytest.fixture
def folder(place):
    """A folder that the other user may write; also has the programs of this file."""
    place.chmod(0o777)
    (place / "type.py").write_text(TYPE)
    (place / "wait.py").write_text(WAIT)
    script = place / "celery-as-user"
    script.write_bytes((PROJECT / "roles/celery_app/files/celery-as-user").read_bytes())
    script.chmod(0o755)
    return place


class Terminal:
    """A terminal, with the shell of root's in it that runs some lines.

    In a line, `AS` runs a command as the other user.
    """

    def __init__(self, folder, *lines, how=None):
        text = "\n".join(lines).replace("AS ", f"{how or f'{folder}/celery-as-user {USER}'} ")
        self.process, self.keyboard = pty.fork()
        if not self.process:
            # As a login has it. Who starts the tests in the background has some ignored.
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(folder)
            os.execv("/bin/bash", ["bash", "-c", text])
        self.shown = b""

    def type(self, keys):
        os.write(self.keyboard, keys)

    def screen(self):
        """What it shows until the shell ends, without the carriage returns."""

        def give_up(*_):
            pytest.fail(f"the shell has not ended within {ENDS} s")

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(ENDS)
        try:
            # The last one who has it open leaves: an error.
            while shown := os.read(self.keyboard, 4096):
                self.shown += shown
        except OSError:
            pass
        finally:
            signal.alarm(0)
            # Whoever is left in the terminal gets SIGHUP.
            os.close(self.keyboard)
            os.waitpid(self.process, 0)
        return self.shown.decode().replace("\r", "")


def appears(path):
    ends = time.monotonic() + ENDS
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < ends, f"{path} did not appear"
        time.sleep(0.05)


# What follows the command in the line: which of its terminals become something else.
PLACES = {
    "a terminal": "AS python3 type.py found",
    "into a pipe": "AS python3 type.py found | cat",
    "all into a pipe": "AS python3 type.py found 2>&1 | cat",
    "into a file": "AS python3 type.py found > file",
    "errors into a file": "AS python3 type.py found 2> file",
    "from a file": "AS python3 type.py found < /dev/null",
    "from a pipe": "true | AS python3 type.py found",
    "between pipes": "true | AS python3 type.py found 2>&1 | cat",
}
# What root's shell reads next, without waiting for a person.
NEXT = 'typed=; read -t 0.5 -r typed; echo "next: <$typed>"; stat --format=terminal:%Hr:%Lr: --dereference /dev/stdin'


@pytest.mark.parametrize("line", PLACES.values(), ids=PLACES)
def test_the_command_has_no_terminal_of_roots(folder, line):
    screen = Terminal(folder, line, NEXT).screen()
    assert "next: <>" in screen
    major, minor = re.search(r"terminal:(\d+):(\d+):", screen).groups()
    found = json.loads((folder / "found").read_text())
    ours = [one for one in found.values() if one["number"] == os.makedev(int(major), int(minor))]
    # Only its screen: it may neither type nor read what root types later.
    assert not [one for one in ours if one["types"] or one["reads"]]


@pytest.mark.skipif(
    Path("/proc/sys/dev/tty/legacy_tiocsti").read_text().strip() != "1",
    reason="this kernel lets nobody type into terminals",
)
@pytest.mark.parametrize("line", PLACES.values(), ids=PLACES)
def test_with_a_mere_change_of_the_user_it_types_into_roots_shell(folder, line):
    """Otherwise the test above would find nothing, whatever the command had."""
    assert "next: <evil>" in Terminal(folder, line, NEXT, how=SETPRIV).screen()


LINES = {
    "a terminal": "AS {}",
    "into a pipe": "AS {} | cat; (exit ${{PIPESTATUS[0]}})",
    "into a file": "AS {} > file",
    "from a pipe": "true | AS {}",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_exit_code_is_the_commands(folder, line):
    for command, code in (("sh -c 'exit 7'", 7), ("true", 0), ("sh -c 'kill -9 $$'", 137)):
        assert f"code: {code}\n" in Terminal(folder, line.format(command), 'echo "code: $?"').screen()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_keys_of_the_terminal_end_the_command(folder, line, key, name):
    terminal = Terminal(folder, "trap : INT QUIT", line.format("python3 wait.py got"), 'echo "code: $?"')
    appears(folder / "got.runs")
    terminal.type(key)
    assert "code: 5\n" in terminal.screen()
    assert (folder / "got").read_text() == name


@pytest.mark.parametrize("name", ["HUP", "TERM"])
def test_a_signal_beside_the_terminal_reaches_the_command(folder, name):
    wait = "until [ -s got.runs ]; do sleep 0.1; done"
    line = f"AS python3 wait.py got > file & {wait}; kill -{name} $!; wait $!"
    assert "code: 5\n" in Terminal(folder, line, 'echo "code: $?"').screen()
    assert (folder / "got").read_text() == f"SIG{name}"


def test_in_a_terminal_it_reads_the_keyboard_and_knows_the_size(folder):
    terminal = Terminal(folder, "read go", "AS sh -c 'read answer; echo \"<$answer>\"; stty size; id -un'")
    fcntl.ioctl(terminal.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    terminal.type(b"go\nyes\n")
    screen = terminal.screen()
    assert [word in screen for word in ("<yes>", "33 77", USER)] == [True] * 3


def test_pipes_and_files_get_what_they_would(folder):
    Terminal(folder, "printf 'one\\ntwo\\n' | AS sort --reverse > sorted 2> errors").screen()
    assert (folder / "sorted").read_text() == "two\none\n"
    Terminal(folder, "AS sh -c 'echo out; echo wrong >&2' 2> errors > out").screen()
    assert [(folder / name).read_text() for name in ("out", "errors")] == ["out\n", "wrong\n"]
    screen = Terminal(folder, "AS sh -c 'echo shown; echo wrong >&2' 2> errors").screen()
    assert screen == "shown\n"
    assert (folder / "errors").read_text() == "wrong\n"


def test_the_environment_is_as_it_was(folder):
    Terminal(folder, "export SHOP=open", "AS env > file", "AS sh -c 'env > own'", "env > before").screen()
    read = {
        name: {line for line in (folder / name).read_text().splitlines() if not line.startswith("_=")}
        for name in ("file", "own", "before")
    }
    assert "SHOP=open" in read["before"]
    assert read["before"] == read["file"] == read["own"]


def test_without_a_terminal_the_command_takes_the_scripts_place(folder):
    """So a program that starts it ends the command itself."""
    code = "import os, time; print(os.getpid(), os.getuid(), flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [folder / "celery-as-user", USER, "python3", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline().split()[0] == str(process.pid)
    process.terminate()
    assert process.wait(timeout=ENDS) == -signal.SIGTERM
    process.stdout.close()
