"""Build a virtual environment of a project and of all that it needs, in this folder. Runs as the build's own user.

Usage: python3 - PYTHON LOCK [PACKAGE ...] [--strict]

PYTHON is the interpreter that the release runs with. LOCK is the project's lock file within its folder, or an empty
text: requirements, with or without hashes, as pip, pip-tools, uv and poetry write them, `uv.lock`, or `pylock.toml`.
PACKAGEs are those that the kit's settings need. ../source.tar.gz holds the project, ../constraints.txt the versions
that the kit has tried, and ../build-constraints.txt those of what packages need to be built, with hashes.

First comes what the lock file pins, with its hashes. Then come the project, what the lock file names by a path (which
has no hash), and the kit's packages, all in the versions of the first step. Where these contradict the kit's versions,
the project's are right. All of it becomes wheels in `wheels`, which are installed into `environment`; that has no pip.

A build-constraints.txt beside the lock file takes precedence over the kit's. Where the kit's contradict what a package
needs, they are given up. With --strict they are not, and nothing is built with what has no hash there.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

# Tried in tests; a worker's settings name classes of Celery's own.
OLDEST_CELERY, NEWEST_CELERY = (5, 4), (5, 7)
NESTED = re.compile(r"(?:-r|--requirement)(?:\s+|=)?(?P<path>\S+)")
CONSTRAINT = re.compile(r"(?:-c|--constraint)(?:\s+|=)?(?P<path>\S+)")
EDITABLE = re.compile(r"(?:-e|--editable)(?:\s+|=)(?P<what>.+)")
# Prints which of some files suits the interpreter best: a wheel, else an archive of source, else nothing.
CHOOSE = """
import sys
from pip._vendor.packaging import tags, utils
order = {tag: number for number, tag in enumerate(tags.sys_tags())}
wheels = {name: utils.parse_wheel_filename(name)[3] & order.keys() for name in sys.argv[1:] if name.endswith(".whl")}
suitable = [(min(map(order.get, found)), name) for name, found in wheels.items() if found]
sources = [(len(order), name) for name in sys.argv[1:] if name not in wheels]
print(min(suitable + sources, default=(0, ""))[1])
"""
STRICT = (
    "With `celery_app_build_strict` all that builds need is pinned, with hashes. If pip names above what is not, "
    "add it to build-constraints.txt beside the lock file, as `pip-compile --allow-unsafe --generate-hashes` writes it."
)
# What follows a requirement by path: hashes, which it cannot have, and a marker.
AFTER_A_PATH = re.compile(r"\s+(?:--hash\S*|;).*")


def logical_lines(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, without comments and joined where one continues."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line := re.sub(r"(^|\s)#.*", "", line).strip():
            yield line


def is_path(text: str) -> bool:
    """Return whether a requirement names a folder or a file of the project."""
    path = re.sub(r"\[.*", "", text)
    return path.startswith((".", "/", "file:")) or (os.sep in path and "://" not in path and Path(path).exists())


def split(file: Path) -> tuple[list[str], list[str]]:
    """Return the lines of a requirements file that pip finds in an index, and the paths, both with nested files."""
    indexed, paths = [], []
    for line in logical_lines(file.read_text()):
        if nested := NESTED.fullmatch(line):
            more, other = split(file.parent / nested["path"])
            indexed, paths = indexed + more, paths + other
        elif constraint := CONSTRAINT.fullmatch(line):
            indexed.append(f"--constraint {(file.parent / constraint['path']).resolve()}")
        else:
            editable = EDITABLE.fullmatch(line)
            what = editable["what"] if editable else line
            (paths if is_path(what) else indexed).append(AFTER_A_PATH.sub("", what) if is_path(what) else what)
    return indexed, paths


def of_pylock(lock: dict, folder: Path) -> list[str]:
    """Return the lines of requirements that say what a pylock.toml does.

    :param folder: where the file lies; its paths begin there.
    """
    lines = []
    for package in lock["packages"]:
        marker = f" ; {package['marker']}" if "marker" in package else ""
        if tree := package.get("directory"):
            lines.append(str((folder / tree["path"] / tree.get("subdirectory", "")).resolve()))
        elif archive := package.get("archive"):
            url = archive.get("url") or (folder / archive["path"]).resolve().as_uri()
            below = f"#subdirectory={archive['subdirectory']}" if "subdirectory" in archive else ""
            lines.append(f"{package['name']} @ {url}{below}{marker}{hashes_of([archive])}")
        elif vcs := package.get("vcs"):
            lines.append(f"{package['name']} @ {vcs['type']}+{vcs['url']}@{vcs['commit-id']}{marker}")
        elif local := local_file(package):
            lines.append(
                f"{package['name']} @ {(folder / local['path']).resolve().as_uri()}{marker}{hashes_of([local])}"
            )
        else:
            files = files_of(package)
            lines.append(f"{package['name']}=={package['version']}{marker}{hashes_of(files)}")
    return lines


def files_of(package: dict) -> list[dict]:
    """Return the wheels of a package of a pylock.toml, and its source archive."""
    return [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]


def local_file(package: dict) -> dict | None:
    """Return which of a package's files by path is to be installed; None where none suits.

    It is named to pip as it is: of an index's file of the same version, pip may take that one, whatever its hash.
    """
    files = {Path(file["path"]).name: file for file in files_of(package) if "path" in file}
    if not files:
        return None
    chosen = subprocess.run(["../venv/bin/python", "-c", CHOOSE, *files], stdout=subprocess.PIPE, text=True, check=True)
    return files.get(chosen.stdout.strip())


def hashes_of(files: list[dict]) -> str:
    """Return pip's options for the hashes of files."""
    return "".join(f" --hash={kind}:{value}" for file in files for kind, value in file["hashes"].items())


def name_of(line: str) -> str:
    """Return the package's name of a requirement."""
    return plain(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])


def pins_of_builds(folder: Path) -> tuple[list[str], list[str]]:
    """Return what a project pins of what builds need, and the same with what the kit does.

    :param folder: where the lock file lies.
    """
    file = folder / "build-constraints.txt"
    own = split(file)[0] if file.exists() else []
    named = set(map(name_of, own))
    tried = logical_lines(Path("../../build-constraints.txt").read_text())
    return own, own + [line for line in tried if name_of(line) not in named]


def install(name: str, pins: list[str]) -> None:
    """Install a tool into the build's own virtual environment, in the version that is pinned."""
    Path("../tool.txt").write_text("\n".join(line for line in pins if name_of(line) == name) + "\n")
    run("../venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "../tool.txt")


def build_with(pins: list[str], *, hashes: bool) -> None:
    """Have pip build packages with these versions of what they need.

    pip builds each in an environment of its own, for which it calls itself. To that call, a pip before 25.3 passes no
    option for constraints, and it reads the section `install` of this file; a newer one has an option of `wheel`. With
    hashes, only the newer one finds them there, and then refuses what has none.
    """
    file = Path("../build-with.txt").resolve()
    file.write_text("".join(f"{line if hashes else line.partition(' --hash')[0]}\n" for line in pins))
    Path("../venv/pip.conf").write_text(f"[install]\nconstraint = {file}\n[wheel]\nbuild-constraint = {file}\n")


def requirements_of(lock: Path, pins: list[str]) -> Path:
    """Return a requirements file with what a lock file says; it may be that file itself."""
    made = Path("../exported.txt")
    if lock.name == "uv.lock":
        install("uv", pins)
        options = ["--frozen", "--no-dev", "--no-emit-project", "--format", "requirements-txt", "--quiet"]
        run("../venv/bin/uv", "export", *options, "--directory", lock.parent, "--output-file", made.resolve())
    elif lock.suffix == ".toml":
        made.write_text("\n".join(of_pylock(tomllib.loads(lock.read_text()), lock.parent)))
    else:
        return lock
    return made


def run(*command: object, check: bool = True) -> bool:
    """Run a command, and return whether it succeeded; ends everything where it must."""
    code = subprocess.run(list(map(str, command)), check=False).returncode
    if check and code:
        sys.exit(code)
    return code == 0


def plain(name: str) -> str:
    """Return a package's name as wheels have it."""
    return re.sub(r"[-_.]+", "_", name).lower()


def built(wheels: Path) -> dict[str, str]:
    """Return the version of each wheel, by the name of its package."""
    return {plain(name): version for name, version in (wheel.name.split("-")[:2] for wheel in wheels.glob("*.whl"))}


def main() -> None:
    """Build them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("python")
    parser.add_argument("lock")
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--strict", action="store_true")
    given = parser.parse_args()
    lock = Path(given.lock)
    os.environ["HOME"] = str(Path.cwd())
    Path("source").mkdir()
    run("tar", "--extract", "--gzip", "--file", "../source.tar.gz", "--directory", "source")
    run(given.python, "-m", "venv", "venv")
    os.chdir("source")
    wheels = Path("../wheels").resolve()
    # Without --use-pep517, Debian's pip builds packages that have only a setup.py with the packages of the virtual
    # environment, which has no `wheel`.
    pip = ["../venv/bin/pip", "wheel", "--use-pep517", "--disable-pip-version-check", "--wheel-dir", wheels]
    own, build_pins = pins_of_builds(lock.parent)
    indexed, paths = split(requirements_of(lock, build_pins)) if given.lock else ([], [])
    if given.strict:
        install("pip", build_pins)
    build_with(build_pins, hashes=given.strict)
    if indexed:
        Path("../locked.txt").write_text("\n".join(indexed) + "\n")
        if not run(*pip, "--requirement", "../locked.txt", check=False):
            if given.strict:
                sys.exit(STRICT)
            print("Trying again without the versions of build tools that the kit has tried.", flush=True)
            build_with(own, hashes=False)
            run(*pip, "--requirement", "../locked.txt")
    pins = built(wheels)
    Path("../pins.txt").write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
    tried = logical_lines(Path("../../constraints.txt").read_text())
    open_ones = [line for line in tried if plain(line.partition("==")[0]) not in pins]
    Path("../tried.txt").write_text("\n".join(open_ones) + "\n")
    # The project itself, with the extras that the lock file asks for.
    project = [path for path in paths if Path(re.sub(r"\[.*", "", path)).resolve() == Path.cwd()]
    local = [path for path in paths if path not in project]
    wanted = [*given.packages, *local, *(project[:1] or ["."])]
    pip += ["--find-links", wheels, "--constraint", "../pins.txt"]
    if not run(*pip, "--constraint", "../tried.txt", *wanted, check=False):
        print("Trying again without the versions that the kit has tried:", shlex.join(map(str, wanted)), flush=True)
        if given.strict:
            run(*pip, *wanted, check=False) or sys.exit(STRICT)
        else:
            build_with(own, hashes=False)
            run(*pip, *wanted)
    # It is for builds only.
    Path("../venv/pip.conf").unlink()
    version = built(wheels).get("celery", "")
    if not OLDEST_CELERY <= tuple(map(int, re.findall(r"\d+", version)[:2])) <= NEWEST_CELERY:
        supported = " to ".join(".".join(map(str, end)) for end in (OLDEST_CELERY, NEWEST_CELERY))
        found = f"Celery {version}" if version else "no Celery"
        sys.exit(f"The project has {found}; the kit supports {supported}: correct its lock file or its dependencies.")
    # Programs name it in their first line.
    environment = Path("../environment").resolve()
    run(given.python, "-m", "venv", "--without-pip", environment)
    offline = ["--no-index", "--only-binary", ":all:", "--find-links", wheels]
    into = ["../venv/bin/pip", "--python", environment / "bin/python", "--disable-pip-version-check", "install"]
    run(*into, *offline, *wheels.glob("*.whl"))


if __name__ == "__main__":
    main()
