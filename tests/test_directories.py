"""The module directories makes folders as root, and a user who may write around them cannot exploit that.

The tests run it in a folder of their own, which takes root, as CI has.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[1] / "plugins/modules/directories.py"
NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")


@pytest.fixture
def place():
    """A folder below which only root may write, unlike those below /tmp."""
    folder = Path(
        subprocess.run(["mktemp", "-d", "-p", "/var/lib"], capture_output=True, text=True, check=True).stdout.strip()
    )
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-r", folder], check=True)


def directories(*folders, check_mode=False):
    """Run the module as Ansible does; returns what it says."""
    arguments = {"folders": [{key: str(value) for key, value in folder.items()} for folder in folders]}
    given = {"ANSIBLE_MODULE_ARGS": arguments | {"_ansible_check_mode": check_mode}}
    done = subprocess.run(
        [sys.executable, MODULE], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)


def state(path):
    found = path.lstat()
    return found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)


def test_folders_are_made_and_a_second_run_changes_nothing(place):
    wanted = [{"path": place / "a"}, {"path": place / "a/b", "owner": "nobody", "group": "nogroup", "mode": "0700"}]
    assert directories(*wanted)["changed_folders"] == [str(place / "a"), str(place / "a/b")]
    assert (state(place / "a"), state(place / "a/b")) == ((0, 0, "0o755"), (NOBODY, NOBODY, "0o700"))
    assert directories(*wanted)["changed"] is False


def test_a_run_in_check_mode_says_what_it_would_do_and_does_nothing(place):
    (place / "taken").mkdir()
    os.chown(place / "taken", NOBODY, NOBODY)
    wanted = [{"path": place / "taken"}, {"path": place / "taken/new"}, {"path": place / "taken/new/newer"}]
    said = directories(*wanted, check_mode=True)
    assert said["changed_folders"] == [str(folder["path"]) for folder in wanted]
    assert state(place / "taken")[0] == NOBODY
    assert list((place / "taken").iterdir()) == []


def test_a_folder_that_belongs_to_somebody_else_is_put_right(place):
    folder = place / "logs"
    folder.mkdir(mode=0o777)
    os.chown(folder, NOBODY, NOBODY)
    assert directories({"path": folder, "mode": "0750"})["changed"] is True
    assert state(folder) == (0, 0, "0o750")


@pytest.mark.parametrize("kind", ["link", "file", "dangling link"])
def test_what_is_no_folder_is_refused_and_what_it_leads_to_is_left_alone(place, kind):
    target, path = place / "target", place / "trap"
    if kind == "file":
        path.write_text("")
    else:
        path.symlink_to(target)
    if kind == "link":
        target.mkdir(mode=0o700)
    said = directories({"path": path, "owner": "nobody", "mode": "0755"})
    assert said["failed"] is True
    assert ("is a link to" in said["msg"]) == (kind != "file")
    assert "on this host, and run this again" in said["msg"]
    if kind == "link":
        assert state(target) == (0, 0, "0o700")
    else:
        assert not target.exists()


def test_a_folder_that_others_may_write_is_no_place_for_one_of_roots(place):
    for folder, owner, mode in (("owned", NOBODY, 0o755), ("group", 0, 0o775), ("all", 0, 0o1777)):
        (place / folder).mkdir()
        os.chown(place / folder, owner, NOBODY)
        (place / folder).chmod(mode)
        said = directories({"path": place / folder / "inner"})
        assert f"`chown root: {place / folder} && chmod go-w" in said["msg"]
        assert list((place / folder).iterdir()) == []


def test_a_link_that_only_root_can_have_made_is_followed_on_the_way(place):
    """As where somebody has moved /var/log to a larger disk."""
    (place / "disk").mkdir()
    (place / "log").symlink_to("disk")
    assert directories({"path": place / "log/app"})["changed"] is True
    assert state(place / "disk/app") == (0, 0, "0o755")


def test_a_link_in_a_folder_of_somebody_else_is_not(place):
    (place / "his").mkdir()
    (place / "roots").mkdir(mode=0o700)
    (place / "his/way").symlink_to(place / "roots")
    os.chown(place / "his", NOBODY, NOBODY)
    assert "can be written by others" in directories({"path": place / "his/way/in"})["msg"]
    assert list((place / "roots").iterdir()) == []


def test_traps_that_are_left_in_a_folder_of_files_are_removed(place):
    logs, secret = place / "logs", place / "secret"
    logs.mkdir()
    os.chown(logs, NOBODY, NOBODY)
    secret.write_text("root's")
    (logs / "kept.log").write_text("a line")
    (logs / "link.log").symlink_to(secret)
    (logs / "second.log").hardlink_to(secret)
    (logs / "folder.log").mkdir()
    (logs / "folder.log/way").symlink_to(place)
    os.mkfifo(logs / "pipe.log")
    wanted = {"path": logs, "only_files": True}
    assert directories(wanted, check_mode=True)["changed"] is True
    assert len(list(logs.iterdir())) == 5
    assert directories(wanted)["changed"] is True
    assert [entry.name for entry in logs.iterdir()] == ["kept.log"]
    assert secret.read_text() == "root's"
    assert directories(wanted)["changed"] is False


def test_a_user_that_is_missing_is_a_sentence(place):
    assert "no user or group nobody-here" in directories({"path": place / "a", "owner": "nobody-here"})["msg"]
    assert not (place / "a").exists()
