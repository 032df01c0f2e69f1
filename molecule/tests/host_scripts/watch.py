"""Note what root opens on this host, and every command line, until this is stopped. For the fixture `watched`.

Usage: python3 - OPENED COMMANDS      (files of root's; one path, one command line a line)

The kernel asks before each file or folder is opened, to be read, written or run (fanotify(7)), so that the process is
still there to be looked at; every answer is yes. So the command line of every process is seen that opens a file, as
each does that loads a library, and of others when they live for a tenth of a second.
"""

import ctypes
import os
import struct
import sys
import threading
import time
from pathlib import Path

# From linux/fanotify.h.
CLASS_CONTENT, CLOEXEC, UNLIMITED_QUEUE = 0x4, 0x1, 0x10
MARK_ADD, MARK_FILESYSTEM = 0x1, 0x100
ASK_TO_OPEN, ON_FOLDERS = 0x10000, 0x40000000
EVENT, ANSWER = struct.Struct("=IBBHqii"), struct.Struct("=iI")
YES = 1
AT_FDCWD = -100


def effective_user(process):
    """The user whose rights a process has."""
    return int(Path(f"/proc/{process}/status").read_text().partition("\nUid:")[2].split()[1])


class Commands:
    """Notes each command line once."""

    def __init__(self, said):
        self._said, self._seen = said, set()

    def note(self, process):
        try:
            line = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return
        line = line.replace(b"\0", b" ").decode(errors="replace").replace("\n", " ")
        if line and line not in self._seen:
            self._seen.add(line)
            self._said.write(line + "\n")


def watch_files(said, commands):
    libc = ctypes.CDLL(None, use_errno=True)
    group = libc.fanotify_init(CLASS_CONTENT | CLOEXEC | UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
    mask = ctypes.c_uint64(ASK_TO_OPEN | ON_FOLDERS)
    for folder in (b"/", b"/run"):
        if group < 0 or libc.fanotify_mark(group, MARK_ADD | MARK_FILESYSTEM, mask, AT_FDCWD, folder):
            raise OSError(ctypes.get_errno(), "fanotify")
    seen = set()
    while True:
        data = os.read(group, 65536)
        while data:
            length, _, _, _, _, descriptor, process = EVENT.unpack_from(data)
            data = data[length:]
            commands.note(process)
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if process != os.getpid() and path not in seen and effective_user(process) == 0:
                seen.add(path)
                said.write(f"{path}\t{Path(f'/proc/{process}/comm').read_text().strip()}\n")
            os.write(group, ANSWER.pack(descriptor, YES))
            os.close(descriptor)


def watch_commands(commands):
    while True:
        for folder in Path("/proc").glob("[0-9]*"):
            commands.note(folder.name)
        time.sleep(0.1)


if __name__ == "__main__":
    os.umask(0o077)
    opened, ran = (open(path, "w", buffering=1) for path in sys.argv[1:])  # noqa: SIM115, PTH123
    commands = Commands(ran)
    threading.Thread(target=watch_commands, args=(commands,), daemon=True).start()
    watch_files(opened, commands)
