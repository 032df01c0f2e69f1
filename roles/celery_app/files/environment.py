"""Pack the wheels of a release into an archive, or unpack them: regular files with plain names, and nothing else.

Usage: python3 - pack FOLDER ARCHIVE
       python3 - unpack ARCHIVE FOLDER

Root does both, and trusts neither the folder from a build nor the archive from the network: a link, a device, a second
name of a file, a path, or a name that no wheel has ends this with exit code 1 and a sentence. The archive's members and
the unpacked files belong to root and have mode 0644, whatever they had before. Neither ARCHIVE nor the folder to unpack
into may exist beforehand.
"""

import os
import re
import stat
import sys
import tarfile
from pathlib import Path

# As in PEP 427, with the characters that its parts may have; no name begins with a dot or a dash.
WHEEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.whl")


def check_name(name):
    """Return the name of a wheel; sys.exit() for anything else."""
    if not WHEEL.fullmatch(name):
        sys.exit(f"{name!r} is no wheel of the release; look at what the project builds, and run this again.")
    return name


def pack(folder, archive):
    """Write the wheels of a folder into a new archive."""
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    with archive.open("xb") as file, tarfile.open(fileobj=file, mode="w") as written:
        for name in sorted(entry.name for entry in os.scandir(inside)):
            # A link is an error here, and a pipe does not block.
            source = os.open(check_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
            with os.fdopen(source, "rb") as wheel:
                found = os.fstat(source)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                    sys.exit(f"{name!r} is no file of its own; look at what the project builds, and run this again.")
                member = tarfile.TarInfo(name)
                member.size, member.mode = found.st_size, 0o644
                written.addfile(member, wheel)


def unpack(archive, folder):
    """Write the members of an archive into a new folder, which appears when all of them are there."""
    new = folder.with_name(f"{folder.name}.new")
    new.mkdir(mode=0o755)
    with tarfile.open(archive, mode="r:") as packed:
        for member in packed:
            if not member.isreg():
                sys.exit(f"{member.name!r} in {archive} is no file; remove the archive on the control node.")
            with (new / check_name(member.name)).open("xb") as file:
                file.write(packed.extractfile(member).read())
                os.fchmod(file.fileno(), 0o644)
    new.rename(folder)


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](*map(Path, sys.argv[2:]))
