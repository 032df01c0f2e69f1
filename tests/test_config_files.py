"""The module config_files writes several files in one execution, each as a whole, and only what differs."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import kit
import pytest

MODULE = Path(__file__).resolve().parents[1] / "plugins/modules/config_files.py"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files for others")


def started(*files, folders=(), links=(), absent=(), check_mode=False):
    """Start the module as Ansible does; returns its process."""
    encoded = [file | {"content": base64.b64encode(file["content"].encode()).decode()} for file in files]
    lists = {"files": encoded, "folders": folders, "links": links}
    arguments = {
        name: [{key: str(value) for key, value in item.items()} for item in those] for name, those in lists.items()
    }
    arguments["absent"] = [str(path) for path in absent]
    given = arguments | {"_ansible_check_mode": check_mode, "_ansible_diff": True}
    # That of a fresh host.
    given |= {"_ansible_remote_tmp": "/nowhere/tmp"}
    process = subprocess.Popen([sys.executable, MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
    process.stdin.close()
    return process


def config_files(*files, **more):
    """Run the module as Ansible does; returns what it says."""
    with started(*files, **more) as process:
        return json.loads(process.stdout.read())


def test_a_fresh_host_gives_no_warning_and_nothing_is_left_behind(tmp_path):
    """A file that is new, one that is refused, and one in check mode."""
    before = set(Path("/run").iterdir())
    file = {"path": tmp_path / "a", "content": "new\n", "validate": "grep --quiet new %s"}
    for said in (config_files(file, check_mode=True), config_files(file), config_files(file | {"content": "old\n"})):
        assert said.get("warnings", []) == []
    assert set(Path("/run").iterdir()) == before
    assert not Path("/nowhere").exists()


def test_all_files_are_written_and_a_second_run_changes_nothing(place):
    folder, old = place / "conf.d", place / "old"
    old.write_text("")
    files = [
        {"path": folder / "a", "content": "ä\n", "mode": "0755"},
        {"path": place / "b", "content": "", "owner": "nobody", "group": "nogroup", "mode": "0600"},
    ]
    said = config_files(*files, folders=[{"path": folder}], absent=[old])
    assert said["changed_files"] == [str(path) for path in (folder, folder / "a", place / "b", old)]
    assert ((folder / "a").read_text(), (folder / "a").stat().st_mode & 0o7777) == ("ä\n", 0o755)
    assert ((place / "b").stat().st_uid, (place / "b").stat().st_mode & 0o7777) == (65534, 0o600)
    assert (folder.stat().st_mode & 0o7777, old.exists()) == (0o755, False)
    assert config_files(*files, folders=[{"path": folder}], absent=[old])["changed"] is False


@pytest.mark.parametrize("drift", ["content", "mode", "owner", "folder", "missing", "link"])
def test_what_differs_is_put_right_and_only_that_is_named(place, drift):
    folder, other = place / "conf.d", place / "other"
    file = {"path": folder / "a", "content": "new\n"}
    assert config_files(file, {"path": other, "content": "other\n"}, folders=[{"path": folder}])["changed"]
    if drift == "content":
        file["path"].write_text("old\n")
    elif drift == "mode":
        file["path"].chmod(0o666)
    elif drift == "owner":
        os.chown(file["path"], 65534, 65534)
    elif drift == "folder":
        folder.chmod(0o777)
    else:
        file["path"].unlink()
    if drift == "link":
        file["path"].symlink_to(other)
    said = config_files(file, {"path": other, "content": "other\n"}, folders=[{"path": folder}])
    assert said["changed_files"] == [str(folder if drift == "folder" else file["path"])]
    assert (file["path"].read_text(), other.read_text()) == ("new\n", "other\n")
    assert not file["path"].is_symlink()
    assert config_files(file, folders=[{"path": folder}])["changed"] is False


OURS = "# BEGIN the kit\n10.0.0.1 mq1\n# END the kit\n"
FORMERLY = "# Ansible managed\n127.0.0.1 localhost\n\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, OURS),
        ("127.0.0.1 localhost\n10.9.9.9 nas", f"{OURS}127.0.0.1 localhost\n10.9.9.9 nas\n"),
        (
            "127.0.0.1 localhost\n# BEGIN the kit\n10.0.0.7 old\n# END the kit\n10.9.9.9 nas\n",
            f"127.0.0.1 localhost\n{OURS}10.9.9.9 nas\n",
        ),
        # An earlier version wrote the whole file.
        (f"{FORMERLY}10.0.0.7 mq1\n10.0.0.8 mq2\n", f"{OURS}127.0.0.1 localhost\n\n"),
        ("# Ansible managed\n10.9.9.9 nas\n", f"{OURS}# Ansible managed\n10.9.9.9 nas\n"),
    ],
)
def test_a_block_leaves_all_other_lines_alone(place, before, after):
    path = place / "hosts"
    if before is not None:
        path.write_text(before)
    file = {"path": path, "content": "10.0.0.1 mq1\n", "block": "the kit", "formerly": FORMERLY}
    assert config_files(file, check_mode=True)["changed"]
    assert (path.read_text() if path.exists() else None) == before
    said = config_files(file)
    assert (said["changed"], path.read_text()) == (True, after)
    assert said["diff"][0]["after"] == after
    assert config_files(file)["changed"] is False


def test_a_block_whose_marks_are_broken_is_refused(place):
    path = place / "hosts"
    path.write_text("10.9.9.9 nas\n# BEGIN the kit\n10.0.0.1 mq1\n")
    said = config_files({"path": path, "content": "10.0.0.1 mq1\n", "block": "the kit"})
    assert said["failed"] and "has not one line `# BEGIN the kit` and, after it, one `# END the kit`" in said["msg"]
    assert path.read_text().startswith("10.9.9.9 nas\n")


def test_a_link_keeps_its_lines_in_the_file_that_takes_its_place(place):
    path, target = place / "hosts", place / "target"
    target.write_text("10.9.9.9 nas\n")
    path.symlink_to(target)
    config_files({"path": path, "content": "10.0.0.1 mq1\n", "block": "the kit"})
    assert (path.read_text(), target.read_text()) == (f"{OURS}10.9.9.9 nas\n", "10.9.9.9 nas\n")


def test_a_file_that_its_validator_refuses_does_not_land(tmp_path):
    file = {"path": tmp_path / "script", "content": "true\n", "validate": "sh -n %s"}
    assert config_files(file)["changed"]
    said = config_files(file | {"content": "if\n"})
    assert said["failed"]
    assert said["msg"].startswith(f"{file['path']} stays as it was: `sh -n %s` fails for the new one.")
    assert file["path"].read_text() == "true\n"


def test_a_refused_file_keeps_all_others_from_being_written(place):
    """A task that fails notifies no handler, so it may have changed nothing."""
    good = {"path": place / "folder/good", "content": "new\n"}
    bad = {"path": place / "bad", "content": "if\n", "validate": "sh -n %s"}
    said = config_files(good, bad, folders=[{"path": place / "folder"}])
    assert said["failed"]
    assert said["refused"] == str(bad["path"])
    assert list(place.iterdir()) == []


def test_a_run_that_is_killed_leaves_each_file_whole_and_the_next_one_completes_it(place):
    old, new = (text * 200_000 for text in ("old\n", "new\n"))
    paths = [place / str(number) for number in range(30)]
    for path in paths:
        path.write_text(old)
    files = [{"path": path, "content": new} for path in paths]
    with started(*files) as process:
        # In the middle: the first ones are written, and the last one is not.
        while paths[3].read_text() == old:
            assert process.poll() is None
        process.kill()
    found = [path.read_text() for path in paths]
    assert found[-1] == old
    assert set(found) == {old, new}
    config_files(*files)
    assert {path.read_text() for path in paths} == {new}


def test_a_folder_in_the_place_of_a_file_to_remove_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    said = config_files(absent=[tmp_path / "a"])
    assert said["failed"]
    assert said["msg"].startswith(f"{tmp_path}/a is a folder. Type `mv ")


def test_a_run_in_check_mode_says_what_it_would_do_and_does_nothing(place):
    there = place / "there"
    there.write_text("old\n")
    files = [{"path": there, "content": "new\n"}, {"path": place / "folder/new", "content": "x\n"}]
    said = config_files(*files, folders=[{"path": place / "folder"}], absent=[there], check_mode=True)
    assert said["changed_files"] == [str(path) for path in (place / "folder", there, place / "folder/new", there)]
    assert [(diff["before"], diff["after"]) for diff in said["diff"]] == [("old\n", "new\n"), ("", "x\n")]
    assert list(place.iterdir()) == [there]
    assert there.read_text() == "old\n"


def test_a_folder_in_the_place_of_a_file_is_refused_with_what_to_type(tmp_path):
    (tmp_path / "a").mkdir()
    said = config_files({"path": tmp_path / "a", "content": ""})
    assert said["failed"]
    assert (
        said["msg"]
        == f"{tmp_path}/a is a folder. Type `mv {tmp_path}/a {tmp_path}/a.old` on this host, and run this again."
    )


def test_the_old_file_is_kept_where_that_is_asked_for(tmp_path):
    file = {"path": tmp_path / "hosts", "content": "new\n", "backup": True}
    file["path"].write_text("old\n")
    assert config_files(file)["changed"]
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["new\n", "old\n"]


def test_a_link_is_made_once_and_replaced_as_a_whole(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    link = {"path": tmp_path / "current", "target": "new"}
    assert config_files(links=[link], check_mode=True)["changed_files"] == [str(link["path"])]
    assert not link["path"].is_symlink()
    assert config_files(links=[link | {"target": "old"}])["changed"] is True
    assert config_files(links=[link])["changed_files"] == [str(link["path"])]
    assert str(link["path"].readlink()) == "new"
    assert config_files(links=[link])["changed"] is False
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new", "current"}


def test_a_link_takes_the_place_of_a_file_but_not_of_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    assert config_files(links=[{"path": tmp_path / "file", "target": "folder"}])["changed"] is True
    said = config_files(links=[{"path": tmp_path / "folder", "target": "file"}])
    assert said["msg"].startswith(f"{tmp_path}/folder is a folder. Type `mv ")


def test_a_link_to_nowhere_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    link = {"path": tmp_path / "a", "target": "Moon/Crater"}
    said = config_files({"path": tmp_path / "other", "content": ""}, links=[link])
    assert said["msg"] == f"{tmp_path}/a cannot lead to Moon/Crater, because that does not exist."
    # Nothing is changed, as a task that fails notifies no handler.
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_may_lead_to_a_file_of_the_same_task(tmp_path):
    link = {"path": tmp_path / "current", "target": "new"}
    assert config_files({"path": tmp_path / "new", "content": "x"}, links=[link])["changed"] is True
    assert link["path"].read_text() == "x"


def test_a_folder_that_is_refused_keeps_files_from_being_written(place):
    (place / "trap").symlink_to("/root")
    said = config_files({"path": place / "a", "content": ""}, folders=[{"path": place / "trap"}])
    assert "is a link to /root" in said["msg"]
    assert [path.name for path in place.iterdir()] == ["trap"]


def test_a_secret_file_is_left_out_of_the_differences(tmp_path):
    secret, other = ({"path": tmp_path / name, "content": name} for name in ("secret", "other"))
    said = config_files(secret | {"diff": False}, other)
    assert said["changed_files"] == [str(secret["path"]), str(other["path"])]
    assert [difference["after"] for difference in said["diff"]] == ["other"]


def test_what_is_in_a_file_is_not_in_what_ansible_shows(tmp_path):
    folder = tmp_path / "roles/shop"
    (folder / "tasks").mkdir(parents=True)
    (folder / "templates").mkdir()
    (folder / "templates/a.j2").write_text("password = {{ word }}\n{% if true %}\nend\n{% endif %}\n")
    file = {"path": str(tmp_path / "a"), "template": "a.j2", "vars": {"word": "swordfish"}, "validate": "grep end %s"}
    task = {"name": "Write", "config_files": {"files": [file]}, "diff": False}
    (folder / "tasks/main.yml").write_text(json.dumps([task]))
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": ["shop"]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    run = ["ansible-playbook", "-vvv", "--diff", tmp_path / "play.yml", "-i", "localhost,"]
    run += kit.extra_vars(ansible_become=False, ansible_python_interpreter=sys.executable)
    done = kit.run(*run, ANSIBLE_ROLES_PATH=str(tmp_path / "roles"))
    assert "changed=1" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "a").read_text() == "password = swordfish\nend\n"
    assert not [word for word in ("swordfish", base64.b64encode(b"password = swor").decode()) if word in done.stdout]


@pytest.mark.parametrize("file", [{}, {"content": "a", "src": "b"}])
def test_a_file_has_one_content(tmp_path, file):
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    play["tasks"] = [{"name": "Write", "config_files": {"files": [{"path": str(tmp_path / "a")} | file]}}]
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = kit.run("ansible-playbook", tmp_path / "play.yml", "-i", "localhost,")
    assert f"{tmp_path}/a needs one of content, template and src." in done.stdout + done.stderr
