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


def config_files(*files, check_mode=False, **more):
    """Run the module as Ansible does; returns what it says."""
    encoded = [file | {"content": base64.b64encode(file["content"].encode()).decode()} for file in files]
    arguments = {"files": [{key: str(value) for key, value in file.items()} for file in encoded]}
    arguments |= {key: [str(path) for path in paths] for key, paths in more.items()}
    given = {"ANSIBLE_MODULE_ARGS": arguments | {"_ansible_check_mode": check_mode, "_ansible_diff": True}}
    done = subprocess.run(
        [sys.executable, MODULE], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)


def test_all_files_are_written_and_a_second_run_changes_nothing(tmp_path):
    folder, old = tmp_path / "conf.d", tmp_path / "old"
    old.write_text("")
    files = [
        {"path": folder / "a", "content": "ä\n", "mode": "0755"},
        {"path": tmp_path / "b", "content": "", "owner": "nobody", "group": "nogroup", "mode": "0600"},
    ]
    said = config_files(*files, folders=[folder], absent=[old])
    assert said["changed_files"] == [str(path) for path in (folder, folder / "a", tmp_path / "b", old)]
    assert ((folder / "a").read_text(), (folder / "a").stat().st_mode & 0o7777) == ("ä\n", 0o755)
    assert ((tmp_path / "b").stat().st_uid, (tmp_path / "b").stat().st_mode & 0o7777) == (65534, 0o600)
    assert (folder.stat().st_mode & 0o7777, old.exists()) == (0o755, False)
    assert config_files(*files, folders=[folder], absent=[old])["changed"] is False


@pytest.mark.parametrize("drift", ["content", "mode", "owner", "folder", "missing", "link"])
def test_what_differs_is_put_right_and_only_that_is_named(tmp_path, drift):
    folder, other = tmp_path / "conf.d", tmp_path / "other"
    file = {"path": folder / "a", "content": "new\n"}
    assert config_files(file, {"path": other, "content": "other\n"}, folders=[folder])["changed"]
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
    said = config_files(file, {"path": other, "content": "other\n"}, folders=[folder])
    assert said["changed_files"] == [str(folder if drift == "folder" else file["path"])]
    assert (file["path"].read_text(), other.read_text()) == ("new\n", "other\n")
    assert not file["path"].is_symlink()
    assert config_files(file, folders=[folder])["changed"] is False


def test_a_file_that_its_validator_refuses_does_not_land(tmp_path):
    file = {"path": tmp_path / "script", "content": "true\n", "validate": "sh -n %s"}
    assert config_files(file)["changed"]
    said = config_files(file | {"content": "if\n"})
    assert said["failed"]
    assert said["msg"].startswith(f"{file['path']} stays as it was: `sh -n %s` fails for the new one.")
    assert file["path"].read_text() == "true\n"


def test_a_refused_file_keeps_all_others_from_being_written(tmp_path):
    """A task that fails notifies no handler, so it may have changed nothing."""
    good = {"path": tmp_path / "folder/good", "content": "new\n"}
    bad = {"path": tmp_path / "bad", "content": "if\n", "validate": "sh -n %s"}
    said = config_files(good, bad, folders=[tmp_path / "folder"])
    assert said["failed"]
    assert said["refused"] == str(bad["path"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_to_remove_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    said = config_files(absent=[tmp_path / "a"])
    assert said["failed"]
    assert said["msg"].startswith(f"{tmp_path}/a is a folder. Type `mv ")


def test_a_run_in_check_mode_says_what_it_would_do_and_does_nothing(tmp_path):
    there = tmp_path / "there"
    there.write_text("old\n")
    files = [{"path": there, "content": "new\n"}, {"path": tmp_path / "folder/new", "content": "x\n"}]
    said = config_files(*files, folders=[tmp_path / "folder"], absent=[there], check_mode=True)
    assert said["changed_files"] == [str(path) for path in (tmp_path / "folder", there, tmp_path / "folder/new", there)]
    assert [(diff["before"], diff["after"]) for diff in said["diff"]] == [("old\n", "new\n"), ("", "x\n")]
    assert list(tmp_path.iterdir()) == [there]
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
