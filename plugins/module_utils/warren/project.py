"""The Celery project on the control node: which of its files make a release, and what is wrong with it."""

import hashlib
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from warren import python_wanted

# Folders that hold no source, wherever they are; a virtual environment has the file pyvenv.cfg.
NO_SOURCE = re.compile(r"\..*|__pycache__|node_modules|.*\.egg-info")
# What a build leaves at the top, unless it is a package of the project.
BUILT = {"build", "dist"}
# As roles/celery_app/files/build.py has it, which looks at what was built.
OLDEST_CELERY = (5, 4)
NEWEST_CELERY = (5, 7)
# Earlier ones lose tasks with a countdown, or deliver them twice.
OLDEST_CELERY_ON_QUORUM_QUEUES = (5, 6, 3)
# A build of a project that takes its version from git has no git: these tell it, by what is in its pyproject.toml.
VERSION_VARIABLES = {
    "setuptools-scm": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "setuptools_scm": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "hatch-vcs": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "versioningit": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "pdm-backend": "PDM_BUILD_SCM_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
}


def _is_source(folder: Path, name: str, top: bool) -> bool:
    if NO_SOURCE.fullmatch(name) or (folder / name / "pyvenv.cfg").exists():
        return False
    return not (top and name in BUILT and not (folder / name / "__init__.py").exists())


def source_paths(source: Path) -> Iterator[Path]:
    """Yield the files and links of a project, except what is no source."""
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if _is_source(here, name, here == source))
        yield from (here / name for name in folders if (here / name).is_symlink())
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def source_files(source: Path) -> dict[str, str]:
    """Return the checksum of each file of a project, and the target of each link, by the path within the project.

    :raises OSError: when one cannot be read.
    """
    found = {}
    for path in source_paths(source):
        about = f"-> {path.readlink()}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(source))] = about
    return found


def git_version(source: Path) -> dict[str, str]:
    """Return the variables that tell a build the project's version, where it takes that from git; else an empty dict.

    The version is the last tag's, with `.devN+gHASH` where N commits came after it, as setuptools-scm makes it.
    """
    asked = str(python_wanted.pyproject(source).get("build-system", {}).get("requires", []))
    names = {variable for package, variable in VERSION_VARIABLES.items() if package in asked}
    if not names:
        return {}
    described = subprocess.run(
        ["git", "-C", source, "describe", "--tags", "--long", "--match", "*[0-9]*"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    match = re.fullmatch(r"\D*([0-9][0-9.]*)\S*-(\d+)-(g[0-9a-f]+)\n", described)
    if not match:
        return dict.fromkeys(sorted(names), "0.0.0")
    tag, after, commit = match.groups()
    *first, last = tag.rstrip(".").split(".")
    version = tag if after == "0" else f"{'.'.join([*first, str(int(last) + 1)])}.dev{after}+{commit}"
    return dict.fromkeys(sorted(names), version)


@cache
def project_problems(source: str, lock: str, queue_type: str = "classic") -> list[str]:
    """Return a sentence for each thing for which no release can be made.

    :param source: folder of the project.
    :param lock: path of its lock file within it, or an empty text.
    :param queue_type: `classic`, or `quorum`, which needs a newer Celery.
    """
    return list(_problems(Path(source), lock, queue_type))


def _problems(source: Path, lock: str, queue_type: str) -> Iterator[str]:
    if not source.is_dir() or not any((source / name).is_file() for name in ("pyproject.toml", "setup.py")):
        advice = "set `cluster_app_source` to the folder that holds your pyproject.toml"
        yield f"There is no Python project in {source}: {advice}."
        return
    if unreadable := python_wanted.problem(source):
        yield unreadable
    for path in source_paths(source):
        # On the build's host, the path that an absolute link names is another one, or none.
        if path.is_symlink() and path.readlink().is_absolute() and path.resolve().is_relative_to(source.resolve()):
            yield f"{path} is a link to {path.readlink()}, which only this machine has: make it a relative link."
        elif path.is_symlink() and not path.resolve().is_relative_to(source.resolve()):
            yield f"{path} is a link to {path.readlink()}, outside the project: put a copy in its place."
    if lock:
        yield from _lock_problems(source, source / lock, queue_type, seen=set())


def _lock_problems(source: Path, file: Path, queue_type: str, seen: set[Path]) -> Iterator[str]:
    """Yield a sentence for each file or folder that a lock file names and that the build would not find."""
    if file in seen:
        return
    seen.add(file)
    if not file.is_file():
        advice = "set `cluster_app_requirements` to your lock file within the project's folder, or to '' without one"
        yield f"{file} does not exist: {advice}."
        return
    try:
        paths, nested, celery = _said_by_toml(file) if file.suffix == ".toml" or file.name == "uv.lock" else _said(file)
    except tomllib.TOMLDecodeError as error:
        yield f"{file} cannot be read: {error}."
        return
    for path in nested:
        yield from _lock_problems(source, file.parent / path, queue_type, seen)
    # pip reads a path from the folder that it runs in, which is the project's.
    base = file.parent if file.suffix in (".toml", ".lock") else source
    for path in paths:
        yield from _path_problems(source, file, base, path)
    pinned = tuple(map(int, re.findall(r"\d+", celery)[:3]))
    if pinned and not OLDEST_CELERY <= pinned[:2] <= NEWEST_CELERY:
        series = ".".join(map(str, pinned[:2]))
        yield f"{file} pins Celery {series}; the kit supports 5.4 to 5.7: choose one of these."
    elif pinned and queue_type == "quorum" and pinned < OLDEST_CELERY_ON_QUORUM_QUEUES:
        yield f"{file} pins Celery {celery}, and quorum queues need 5.6.3 to 5.7: choose one of these."


def _path_problems(source: Path, file: Path, base: Path, path: str) -> Iterator[str]:
    """Yield a sentence if the build would not find what a lock file names by a path."""
    place, root = (base / path.removeprefix("file://")).resolve(), source.resolve()
    if not place.is_relative_to(root):
        advice = "put a copy into the project's folder, and name that by a relative path"
        yield f"{file} names {path}, outside the project: {advice}."
    elif Path(path.removeprefix("file://")).is_absolute():
        yield f"{file} names {path}, which only this machine has: name it by a relative path."
    elif not place.exists():
        yield f"{file} names {path}, which does not exist: put it there, or correct the file."
    elif place != root and not any(found.is_relative_to(place) for found in _packed(root)):
        yield f"{file} names {path}, which is not packed, as its folder is no source: move it, for example to `vendor`."


@cache
def _packed(root: Path) -> list[Path]:
    return list(source_paths(root))


def _said(file: Path) -> tuple[list[str], list[str], str]:
    """Return the paths that a requirements file names, the files that it includes, and the version of Celery or ''."""
    text = file.read_text(errors="replace")
    nested = re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)(?:\s+|=)?(\S+)", text, re.MULTILINE)
    # A folder that is named without a dot looks like a package; pip says what it makes of it.
    paths = re.findall(r"^\s*(?:(?:-e|--editable)[\s=]\s*)?((?:\.|/|file:)[^\s;#[]*)", text, re.MULTILINE)
    celery = re.search(r"^celery(?:\[[^]]*\])?\s*==\s*([\d.]+)", text, re.MULTILINE | re.IGNORECASE)
    return paths, [path for path in nested if "://" not in path], celery[1] if celery else ""


def _said_by_toml(file: Path) -> tuple[list[str], list[str], str]:
    """Return the same of a uv.lock or pylock.toml.

    :raises tomllib.TOMLDecodeError: when it cannot be read.
    """
    lock = tomllib.loads(file.read_text(errors="replace"))
    packages = lock.get("package" if file.name == "uv.lock" else "packages", [])
    celery = [package.get("version", "") for package in packages if package.get("name") == "celery"]
    if file.name == "uv.lock":
        kinds = ("directory", "editable", "virtual", "path")
        found = [package.get("source", {}).get(kind) for package in packages for kind in kinds]
    else:
        places = [package.get(kind, {}) for package in packages for kind in ("directory", "archive", "sdist")]
        places += [wheel for package in packages for wheel in package.get("wheels", [])]
        found = [place.get("path") for place in places]
    return [path for path in found if path], [], next(iter(celery), "")
