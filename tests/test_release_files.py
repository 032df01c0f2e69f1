"""The scripts of celery_app that handle releases on a host: what goes into one, and what is kept."""

import compileall
import os
import shutil
import subprocess
import sys
import tarfile
import time

import pytest
from kit import PROJECT

FILES = PROJECT / "roles/celery_app/files"
SITE_PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def script(name, *arguments):
    """Run a script as the role does, from standard input; returns its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-", *map(str, arguments)],
        input=(FILES / name).read_text(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def environment(tmp_path):
    """An environment as a build leaves it: a package, a program, and bits that no file of a release may have."""
    folder = tmp_path / "build/environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / SITE_PACKAGES
    (packages / "shop").mkdir()
    (packages / "shop/__init__.py").write_text("NAME = 'shop'\n")
    (packages / "shop/helper").write_bytes(b"\x7fELF")
    (packages / "shop/helper").chmod(0o4777)
    compileall.compile_dir(packages, quiet=1)
    program = folder / "bin/python3-shop"
    program.write_text(f"#!{folder}/bin/python\nimport shop, sys\nprint(shop.NAME, sys.prefix)\n")
    program.chmod(0o777)
    return folder


def arrive(environment, where):
    """Pack an environment, and unpack it elsewhere."""
    assert script("environment.py", "pack", environment, where / "release.tar.gz") == (0, "")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", where / "release"], check=True)
    assert script("environment.py", "unpack", where / "release.tar.gz", where / "release") == (0, "")
    return where / "release"


def test_a_release_runs_where_it_arrives(environment, tmp_path):
    release = arrive(environment, tmp_path)
    shutil.rmtree(environment)
    said = subprocess.run([release / "bin/python3-shop"], capture_output=True, text=True, check=True).stdout
    assert said == f"shop {release}\n"


def test_compiled_files_are_still_of_their_sources(environment, tmp_path):
    release = arrive(environment, tmp_path)
    ask = [release / "bin/python", "-v", "-c", "import shop"]
    said = subprocess.run(ask, capture_output=True, text=True, check=True).stderr
    assert "matches" in said and "wrote" not in said


def test_files_of_a_release_belong_to_root_with_fixed_modes(environment, tmp_path):
    release = arrive(environment, tmp_path)
    with tarfile.open(tmp_path / "release.tar.gz") as packed:
        assert {(m.uid, m.gid, m.isreg()) for m in packed} == {(0, 0, True)}
        names = packed.getnames()
    modes = {name: (release / name).stat().st_mode & 0o7777 for name in names if "__pycache__" not in name}
    assert modes == {
        f"{SITE_PACKAGES}/shop/__init__.py": 0o644,
        f"{SITE_PACKAGES}/shop/helper": 0o755,
        "bin/python3-shop": 0o755,
    }


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe", "second name", "instead of the environment"])
def test_what_a_build_has_smuggled_in_is_refused(environment, tmp_path, kind):
    trap, secret = environment / SITE_PACKAGES / "trap", tmp_path / "secret"
    secret.write_text("root's")
    if kind == "link":
        trap.symlink_to(secret)
    elif kind == "link to a folder":
        trap.symlink_to(tmp_path)
    elif kind == "pipe":
        os.mkfifo(trap)
    elif kind == "second name":
        trap.hardlink_to(secret)
    else:
        environment.rename(tmp_path / "elsewhere")
        environment.symlink_to(tmp_path / "elsewhere")
    code, said = script("environment.py", "pack", environment, tmp_path / "release.tar.gz")
    assert code == 1
    assert "root's" not in said


def member(name, **fields):
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize(
    "trap",
    [
        member("trap", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("trap", type=tarfile.LNKTYPE, linkname="pyvenv.cfg"),
        member("trap", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("trap", type=tarfile.DIRTYPE),
        member("../trap"),
        member("lib/../../trap"),
        member("/tmp/trap"),
        member("bin/python3"),
        member("lib64"),
        member("pyvenv.cfg"),
    ],
    ids=lambda trap: f"{trap.name} {trap.type.decode()}",
)
def test_an_archive_that_holds_more_than_files_is_refused(tmp_path, trap):
    release = tmp_path / "release"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", release], check=True)
    before = sorted(tmp_path.rglob("*"))
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as packed:
        packed.addfile(trap)
    code, said = script("environment.py", "unpack", tmp_path / "release.tar.gz", release)
    assert code == 1
    assert f"{trap.name!r} in {tmp_path}/release.tar.gz is no file of a release" in said
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "release.tar.gz"]


@pytest.fixture
def host(tmp_path):
    """A host with releases and settings 1 to 20, the higher the newer, of which the entries and links name some."""
    home, config, entries = (tmp_path / name for name in ("home", "config", "entries"))
    now = time.time()
    for number in range(1, 21):
        release, settings = home / f"releases/r{number:011}", config / f"settings/f{number:011}"
        release.mkdir(parents=True)
        settings.mkdir(parents=True)
        (settings / "run").write_text(f"PATH=/opt/celery/shop/releases/{release.name}/bin")
        for path in (release, settings):
            os.utime(path, (now + number, now + number))
    entries.mkdir()
    (entries / "workers.conf").write_text(f"command={config}/settings/f{2:011}/run celery")
    (home / "current").symlink_to(f"releases/r{20:011}")
    (home / "run").symlink_to(config / f"settings/f{20:011}/run")
    (config / "beat").symlink_to(f"settings/f{3:011}")
    return home, config, entries


def test_files_of_an_earlier_version_stay_as_long_as_a_program_takes_them(host):
    home, config, entries = host
    (config / "celeryconfig.py").write_text("")
    old = entries / "celery-beat.conf"
    old.write_text(f"command={home}/run celery beat")
    script("prune.py", home, config, 3, entries)
    assert (config / "celeryconfig.py").exists()
    old.unlink()
    assert str(config / "celeryconfig.py") in script("prune.py", home, config, 3, entries)[1]
    assert not (config / "celeryconfig.py").exists()


def test_what_a_program_may_start_with_is_kept(host):
    home, config, entries = host
    code, said = script("prune.py", home, config, 3, entries)
    assert code == 0
    assert sorted(path.name for path in (config / "settings").iterdir()) == [
        f"f{number:011}" for number in [2, 3, *range(11, 21)]
    ]
    assert sorted(path.name for path in (home / "releases").iterdir()) == [
        f"r{number:011}" for number in [2, 3, *range(11, 21)]
    ]
    assert len(said.splitlines()) == 16
    assert script("prune.py", home, config, 3, entries) == (0, "")
