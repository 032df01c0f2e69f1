"""The module config_files makes folders as root, and a user who may write around them cannot exploit that."""

import os

import pytest
from test_config_files import config_files

NOBODY = 65534


def folders(*wanted, check_mode=False):
    """Make folders; returns what the module says."""
    return config_files(folders=wanted, check_mode=check_mode)


def state(path):
    found = path.lstat()
    return found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)


def test_folders_are_made_and_a_second_run_changes_nothing(place):
    wanted = [{"path": place / "a"}, {"path": place / "a/b", "owner": "nobody", "group": "nogroup", "mode": "0700"}]
    assert folders(*wanted)["changed_files"] == [str(place / "a"), str(place / "a/b")]
    assert (state(place / "a"), state(place / "a/b")) == ((0, 0, "0o755"), (NOBODY, NOBODY, "0o700"))
    assert folders(*wanted)["changed"] is False


def test_a_run_in_check_mode_says_what_it_would_do_and_does_nothing(place):
    (place / "taken").mkdir()
    os.chown(place / "taken", NOBODY, NOBODY)
    wanted = [{"path": place / "taken"}, {"path": place / "taken/new"}, {"path": place / "taken/new/newer"}]
    said = folders(*wanted, check_mode=True)
    assert said["changed_files"] == [str(folder["path"]) for folder in wanted]
    assert state(place / "taken")[0] == NOBODY
    assert list((place / "taken").iterdir()) == []


def test_a_folder_that_belongs_to_somebody_else_is_put_right(place):
    folder = place / "logs"
    folder.mkdir(mode=0o777)
    os.chown(folder, NOBODY, NOBODY)
    assert folders({"path": folder, "mode": "0750"})["changed"] is True
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
    said = folders({"path": path, "owner": "nobody", "mode": "0755"})
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
        said = folders({"path": place / folder / "inner"})
        assert f"`chown root: {place / folder} && chmod go-w" in said["msg"]
        assert list((place / folder).iterdir()) == []


def test_a_link_that_only_root_can_have_made_is_followed_on_the_way(place):
    """As where somebody has moved /var/log to a larger disk."""
    (place / "disk").mkdir()
    (place / "log").symlink_to("disk")
    assert folders({"path": place / "log/app"})["changed"] is True
    assert state(place / "disk/app") == (0, 0, "0o755")


def test_a_link_in_a_folder_of_somebody_else_is_not(place):
    (place / "his").mkdir()
    (place / "roots").mkdir(mode=0o700)
    (place / "his/way").symlink_to(place / "roots")
    os.chown(place / "his", NOBODY, NOBODY)
    assert "can be written by others" in folders({"path": place / "his/way/in"})["msg"]
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
    assert folders(wanted, check_mode=True)["changed"] is True
    assert len(list(logs.iterdir())) == 5
    assert folders(wanted)["changed"] is True
    assert [entry.name for entry in logs.iterdir()] == ["kept.log"]
    assert secret.read_text() == "root's"
    assert folders(wanted)["changed"] is False


def test_a_user_that_is_missing_is_a_sentence(place):
    assert "no user or group nobody-here" in folders({"path": place / "a", "owner": "nobody-here"})["msg"]
    assert not (place / "a").exists()
