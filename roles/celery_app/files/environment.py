"""Pack the virtual environment of a release into an archive, or unpack it: regular files in folders, and nothing else.

Usage: python3 - pack ENVIRONMENT ARCHIVE
       python3 - unpack ARCHIVE ENVIRONMENT

Root does both, and trusts neither the environment from a build nor the archive from the network: a link, a device, a
second name of a file, or a path that leads elsewhere ends this with exit code 1 and a sentence. All files belong to
root and have mode 0644, or 0755 if they are programs, whatever they had before. What `python -m venv --without-pip`
makes is not packed; ENVIRONMENT must be fresh from it when the archive is unpacked, and no file of it is replaced.
ARCHIVE must not exist beforehand.
"""

import os
import re
import stat
import sys
import tarfile
from io import BytesIO
from pathlib import Path, PurePosixPath

# What venv makes, of Python 3.9 to 3.14.
OF_VENV = re.compile(
    r"pyvenv\.cfg|\.gitignore|lib64|bin/(python(3(\.\d+t?)?)?|\U0001d70bthon|activate(\.\w+)?|Activate\.ps1)"
)
# How the first line of a program in `bin` begins in the archive. Only the host knows the rest.
ANYWHERE = b"#!ENVIRONMENT/"
# The fastest. At 6, packing takes twice as long and saves an eighth of 12 MB (measured with the reference project).
LEVEL = 1


def installed(environment):
    """Yield (path, content, status) of each file that has been installed into an environment; sys.exit() for others."""
    top = os.open(environment, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    for folder, folders, names, inside in os.fwalk(".", dir_fd=top):
        # A link to a folder is among the folders.
        for name in sorted([*folders, *names]):
            path = str(PurePosixPath(folder, name))
            found = os.stat(name, dir_fd=inside, follow_symlinks=False)
            if OF_VENV.fullmatch(path) or stat.S_ISDIR(found.st_mode):
                continue
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                sys.exit(f"{path!r} is no file of its own; look at what the project builds, and run this again.")
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside), "rb") as file:
                yield path, file.read(), found


def pack(environment, archive):
    """Write what has been installed into an environment into a new archive."""
    there = f"#!{environment}/".encode()
    with archive.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=LEVEL) as written:
        # Whatever root's umask is: the user that fetches it is another.
        os.fchmod(file.fileno(), 0o644)
        for path, content, found in installed(environment):
            if path.startswith("bin/") and content.startswith(there):
                content = ANYWHERE + content.removeprefix(there)
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755 if found.st_mode & stat.S_IXUSR else 0o644
            # Python takes a compiled file only when it names the time of its source.
            member.mtime = int(found.st_mtime)
            written.addfile(member, BytesIO(content))


def unpack(archive, environment):
    """Write the members of an archive into a fresh environment."""
    here = f"#!{environment}/".encode()
    with tarfile.open(archive, mode="r:gz") as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if not member.isreg() or path.is_absolute() or ".." in path.parts or OF_VENV.fullmatch(str(path)):
                sys.exit(
                    f"{member.name!r} in {archive} is no file of a release; remove the archive on the control node."
                )
            content = packed.extractfile(member).read()
            if path.parts[0] == "bin" and content.startswith(ANYWHERE):
                content = here + content.removeprefix(ANYWHERE)
            target = environment / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(content)
                os.fchmod(file.fileno(), 0o755 if member.mode & stat.S_IXUSR else 0o644)
            os.utime(target, (member.mtime, member.mtime))


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](*map(Path, sys.argv[2:]))
