"""The build of a release, from what people have: real projects, with packages of PyPI."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from kit import PROJECT
from warren.project import git_version, source_files

pytestmark = pytest.mark.lengthy

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
SHOP = f'{SETUPTOOLS}[project]\nname = "shop"\nversion = "1"\ndependencies = ["celery"]\n'
SHOP += '[tool.setuptools]\npackages = ["shop"]\n'
COMMON = f'{SETUPTOOLS}[project]\nname = "common"\nversion = "2"\n'
FILES = {"pyproject.toml": SHOP, "shop/__init__.py": ""}
OF_A_LIBRARY = {"libs/common/pyproject.toml": COMMON, "libs/common/common/__init__.py": ""}
PACKAGES = ["kombu[redis]", "flower"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return os.environ | {
        "PIP_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("uv")),
        # Byte code, which takes a third of a build, would only be thrown away. To pip, false means yes here.
        "PIP_NO_COMPILE": "false",
    }


@pytest.fixture(scope="module")
def locked(tmp_path_factory, environment):
    """The wheels of Celery 5.6.3 and its dependencies: (name, version, sha256)."""
    folder = tmp_path_factory.mktemp("locked")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, "celery==5.6.3", "kombu==5.6.2"]
    subprocess.run(command, check=True, env=environment)
    return [
        (*wheel.name.split("-")[:2], hashlib.sha256(wheel.read_bytes()).hexdigest())
        for wheel in sorted(folder.glob("*.whl"))
    ]


def with_hashes(locked):
    return "".join(
        f"{name}=={version} \\\n    --hash=sha256:{checksum}\n    # via shop\n" for name, version, checksum in locked
    )


def build(folder, files, lock, environment, packages=PACKAGES, expect=0):
    """Build a project as the role does; returns the version of each installed package by its name, or what it said."""
    source, work = folder / "source", folder / "build/work"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    work.mkdir(parents=True)
    with tarfile.open(folder / "build/source.tar.gz", "w:gz") as packed:
        for name in source_files(source):
            packed.add(source / name, name)
    for name in ("constraints.txt", "build-constraints.txt"):
        (folder / "build" / name).write_text((PROJECT / "roles/celery_app/files" / name).read_text())
    done = subprocess.run(
        [sys.executable, "-", "python3", lock, *packages],
        input=(PROJECT / "roles/celery_app/files/build.py").read_text(),
        cwd=work,
        env=environment | git_version(source),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == expect, done.stdout[-3000:] + done.stderr[-3000:]
    if expect:
        return done.stderr
    # What the environment has, which hosts get.
    found = (work / "environment/lib").glob("python*/site-packages/*.dist-info")
    return dict(package.stem.lower().split("-") for package in found)


def test_hashes_an_editable_project_and_paths(tmp_path, environment, locked):
    """As `uv export` and poetry write them, in nested files."""
    files = (
        FILES
        | OF_A_LIBRARY
        | {
            "requirements/all.txt": "-e .\n./libs/common ; python_version >= '3.8'\n-r base.txt\n",
            "requirements/base.txt": with_hashes(locked),
        }
    )
    found = build(tmp_path, files, "requirements/all.txt", environment)
    assert {name: found[name.lower()] for name, _, _ in locked} == {name: version for name, version, _ in locked}
    assert (found["shop"], found["common"]) == ("1", "2")
    # The kit's version of redis contradicts the project's kombu, and the project is right.
    assert {"redis", "flower"} <= found.keys()


def test_a_wrong_hash_ends_the_build(tmp_path, environment, locked):
    lock = with_hashes([(name, version, "0" * 64) for name, version, _ in locked])
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in build(
        tmp_path, FILES | {"lock.txt": lock}, "lock.txt", environment, expect=1
    )


def test_a_pylock(tmp_path, environment, locked):
    wheel = '[{{name = "a", hashes = {{sha256 = "{}"}}}}]'
    packages = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = {wheel.format(checksum)}\n'
        for name, version, checksum in locked
    )
    lock = f'lock-version = "1.0"\n{packages}[[packages]]\nname = "common"\ndirectory = {{path = "libs/common"}}\n'
    found = build(tmp_path, FILES | OF_A_LIBRARY | {"pylock.toml": lock}, "pylock.toml", environment, packages=[])
    assert (found["celery"], found["common"]) == ("5.6.3", "2")


def test_a_pylock_with_archives_by_path(tmp_path, environment, locked):
    """What it names by a path lies in the project, and is installed from there with its hash checked."""
    vendor = tmp_path / "source/vendor"
    vendor.mkdir(parents=True)
    information = "Metadata-Version: 2.1\nName: {}\nVersion: 2\n"
    for name in ("common", "other"):
        with tarfile.open(vendor / f"{name}-2.tar.gz", "w:gz") as packed:
            for path, text in {
                "pyproject.toml": COMMON.replace("common", name),
                "PKG-INFO": information.format(name),
                f"{name}.py": "",
            }.items():
                entry = tarfile.TarInfo(f"{name}-2/{path}")
                entry.size = len(text)
                packed.addfile(entry, io.BytesIO(text.encode()))
    # Not for this machine.
    (vendor / "parts-2-cp311-cp311-win_amd64.whl").write_bytes(b"")
    with zipfile.ZipFile(vendor / "parts-2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("parts.py", "")
        wheel.writestr("parts-2.dist-info/METADATA", information.format("parts"))
        wheel.writestr("parts-2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("parts-2.dist-info/RECORD", "")

    def about(name):
        checksum = hashlib.sha256((vendor / name).read_bytes()).hexdigest()
        return f'{{path = "vendor/{name}", hashes = {{sha256 = "{checksum}"}}}}'

    wheel = '[{{name = "a", hashes = {{sha256 = "{}"}}}}]'
    packages = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = {wheel.format(checksum)}\n'
        for name, version, checksum in locked
    )
    packages += f'[[packages]]\nname = "common"\narchive = {about("common-2.tar.gz")}\n'
    packages += f'[[packages]]\nname = "other"\nversion = "2"\nsdist = {about("other-2.tar.gz")}\n'
    packages += '[[packages]]\nname = "parts"\nversion = "2"\nwheels = ['
    packages += f"{about('parts-2-cp311-cp311-win_amd64.whl')}, {about('parts-2-py3-none-any.whl')}]\n"
    lock = f'lock-version = "1.0"\n{packages}'
    found = build(tmp_path, FILES | {"pylock.toml": lock}, "pylock.toml", environment, packages=[])
    assert {name: found.get(name) for name in ("common", "other", "parts")} == dict.fromkeys(
        ("common", "other", "parts"), "2"
    )


def test_a_uv_lock(tmp_path, environment):
    project = SHOP.replace('["celery"]', '["celery==5.5.3", "common"]')
    project += '[tool.uv.sources]\ncommon = {path = "libs/common"}\n'
    files = FILES | OF_A_LIBRARY | {"pyproject.toml": project}
    for name, text in files.items():
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tmp_path / "uv", "uv"]
    subprocess.run(pip, check=True, env=environment)
    subprocess.run(
        [tmp_path / "uv/bin/uv", "lock", "--quiet", "--directory", tmp_path / "made"], check=True, env=environment
    )
    lock = (tmp_path / "made/uv.lock").read_text()
    found = build(tmp_path, files | {"uv.lock": lock}, "uv.lock", environment, packages=[])
    assert (found["celery"], found["common"], found["shop"]) == ("5.5.3", "2", "1")


def test_another_celery_is_refused_by_name(tmp_path, environment):
    project = SHOP.replace('"celery"', '"celery==5.3.6"')
    said = build(tmp_path, FILES | {"pyproject.toml": project}, "", environment, packages=[], expect=1)
    assert "The project has Celery 5.3.6; the kit supports 5.4 to 5.7" in said


def test_a_project_without_celery_is_refused(tmp_path, environment):
    project = SHOP.replace('"celery"', "")
    said = build(tmp_path, FILES | {"pyproject.toml": project}, "", environment, packages=[], expect=1)
    assert "The project has no Celery" in said


def test_a_setup_py_and_a_package_that_is_called_build(tmp_path, environment):
    arguments = "name='shop', version='3', packages=['build', 'shop'], install_requires=['celery']"
    setup = f"from setuptools import setup\nsetup({arguments})\n"
    files = {"setup.py": setup, "shop/__init__.py": "", "build/__init__.py": ""}
    assert build(tmp_path, files, "", environment, packages=[])["shop"] == "3"


@pytest.mark.parametrize("version", ["5.4.0", "5.7.0"])
def test_each_celery_that_the_kit_supports_and_a_version_of_git(tmp_path, environment, version):
    project = SHOP.replace('["setuptools"]', '["setuptools", "setuptools-scm"]').replace(
        'version = "1"', 'dynamic = ["version"]'
    )
    files = FILES | {
        "pyproject.toml": f"{project}[tool.setuptools_scm]\n",
        "lock.txt": f"celery=={version}\n",
    }
    source = tmp_path / "source"
    source.mkdir()
    for command in (["init"], ["commit", "--allow-empty", "-m", "a"], ["tag", "v2.5"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", source, *identity, *command], check=True, capture_output=True)
    found = build(tmp_path, files, "lock.txt", environment)
    assert (found["celery"], found["shop"]) == (version, "2.5")


# A project whose version is that of the setuptools which builds it.
SETUP = (
    "import setuptools\nsetuptools.setup(name='shop', version=setuptools.__version__, install_requires=['celery'])\n"
)
BY_SETUPTOOLS = {"setup.py": SETUP, "lock.txt": "celery==5.6.3\n"}
TRIED = dict(
    re.findall("^([a-z-]+)==([0-9.]+)", (PROJECT / "roles/celery_app/files/build-constraints.txt").read_text(), re.M)
)
# As pip-compile writes it.
OTHER = """setuptools==75.8.0 \\
    --hash=sha256:c5afc8f407c626b8313a86e10311dd3f661c6cd9c09d4bf8c15c0e11f9f2b0e6 \\
    --hash=sha256:e3982f444617239225d675215d51f6ba05f845d4eec313da4418fdbb56fb27e3
"""


def requiring(*names):
    """The files of a project that needs these to be built."""
    text = json.dumps(["setuptools", *names])
    return {"pyproject.toml": f'[build-system]\nrequires = {text}\nbuild-backend = "setuptools.build_meta"\n'}


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ({}, TRIED["setuptools"]),
        ({"locks/build-constraints.txt": "# ours\nsetuptools==75.8.0\n"}, "75.8.0"),
        # Which contradicts what the kit has tried.
        (requiring("setuptools==70.3.0"), "70.3.0"),
    ],
    ids=["the kit's", "the project's", "another one"],
)
def test_what_builds_need_is_pinned(tmp_path, environment, more, version):
    files = {"setup.py": SETUP, "locks/lock.txt": "celery==5.6.3\n"} | more
    assert build(tmp_path, files, "locks/lock.txt", environment, packages=[])["shop"] == version


STRICT = ["--strict"]


@pytest.mark.parametrize(
    ("more", "version"),
    [({}, TRIED["setuptools"]), ({"build-constraints.txt": OTHER}, "75.8.0")],
    ids=["the kit's", "the project's"],
)
def test_a_strict_build_takes_what_is_pinned_with_hashes(tmp_path, environment, more, version):
    assert build(tmp_path, BY_SETUPTOOLS | more, "lock.txt", environment, packages=STRICT)["shop"] == version


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (requiring("calver"), "all requirements must have their versions pinned with =="),
        (requiring("setuptools==70.3.0"), "conflicting dependencies"),
        ({"build-constraints.txt": re.sub("(sha256:)....", r"\g<1>0000", OTHER)}, "DO NOT MATCH THE HASHES"),
    ],
    ids=["one that nobody pins", "another one", "a wrong hash"],
)
def test_a_strict_build_refuses_what_is_not_pinned(tmp_path, environment, more, said):
    found = build(tmp_path, BY_SETUPTOOLS | more, "lock.txt", environment, packages=STRICT, expect=1)
    assert said in found
    assert "add it to build-constraints.txt beside the lock file" in found
