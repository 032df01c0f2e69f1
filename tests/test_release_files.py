"""The scripts of celery_app that handle releases on a host: what goes into one, and what is kept."""

import os
import subprocess
import sys
import tarfile
import time

import pytest
from kit import PROJECT

FILES = PROJECT / "roles/celery_app/files"


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
def wheels(tmp_path):
    """A folder as a build leaves it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("shop-1.0-py3-none-any.whl", "celery-5.7.0-py3-none-any.whl"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o4777)
    return folder


def test_wheels_arrive_as_files_of_root_with_fixed_modes(wheels, tmp_path):
    assert script("wheels.py", "pack", wheels, tmp_path / "release.tar") == (0, "")
    with tarfile.open(tmp_path / "release.tar") as packed:
        assert {(m.mode, m.uid, m.gid, m.isreg()) for m in packed} == {(0o644, 0, 0, True)}
    assert script("wheels.py", "unpack", tmp_path / "release.tar", tmp_path / "unpacked") == (0, "")
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o7777) for path in (tmp_path / "unpacked").iterdir()}
    assert found == {path.name: (path.name, 0o644) for path in wheels.iterdir()}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "second name", "no wheel", "option", "hidden"])
def test_what_a_build_has_smuggled_in_is_refused(wheels, tmp_path, kind):
    trap, secret = wheels / "trap-1.0-py3-none-any.whl", tmp_path / "secret"
    secret.write_text("root's")
    if kind == "link":
        trap.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(trap)
    elif kind == "folder":
        trap.mkdir()
    elif kind == "second name":
        trap.hardlink_to(secret)
    else:
        (wheels / {"no wheel": "setup.py", "option": "-r.whl", "hidden": ".trap.whl"}[kind]).write_text("")
    code, said = script("wheels.py", "pack", wheels, tmp_path / "release.tar")
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
        member("trap-1-py3-none-any.whl", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("trap-1-py3-none-any.whl", type=tarfile.LNKTYPE, linkname="shop-1.whl"),
        member("trap-1-py3-none-any.whl", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("../trap-1-py3-none-any.whl"),
        member("/trap-1-py3-none-any.whl"),
        member("inner/trap-1-py3-none-any.whl"),
        member("inner", type=tarfile.DIRTYPE),
        member("trap.sh", mode=0o4755),
    ],
    ids=lambda trap: f"{trap.name} {trap.type.decode()}",
)
def test_an_archive_that_holds_more_than_wheels_is_refused(tmp_path, trap):
    with tarfile.open(tmp_path / "release.tar", "w") as packed:
        packed.addfile(trap)
    code, said = script("wheels.py", "unpack", tmp_path / "release.tar", tmp_path / "wheels")
    assert code == 1
    assert "trap" in said or "inner" in said
    # The next run does not take what has been unpacked so far for the whole.
    assert not (tmp_path / "wheels").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"release.tar", "wheels.new"}


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
