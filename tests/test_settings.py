"""supervisor_program writes settings that programs read: never in place, never wrong ones, and without showing them.

The tests run the role's tasks in a folder of their own, which takes root, as CI has.
"""

import sys

import kit
import yaml
from fingerprint import fingerprint

SECRET = "swordfish"
FILES = [
    {
        "name": "config",
        "content": f"password = {SECRET}\n",
        "validate": "grep --quiet password %s",
        "inputs": "`shop_options`",
    },
    {"name": "run", "content": "#!/bin/sh\n", "mode": "0750"},
]


def write(tmp_path, folder, files, *arguments):
    """Run the role's tasks, with everything that Ansible can show."""
    play = {
        "name": "Write settings",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Write them",
                "ansible.builtin.include_role": {"name": "supervisor_program", "tasks_from": "settings"},
                "vars": {
                    "supervisor_program_user": "games",
                    "supervisor_program_settings": files,
                    "supervisor_program_settings_dir": str(folder),
                },
            }
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    return kit.run(
        *["ansible-playbook", "--diff", "-vv", *arguments, tmp_path / "play.yml"],
        *["-i", "localhost,", *kit.extra_vars(ansible_become=False, ansible_python_interpreter=sys.executable)],
    )


def test_settings_are_written_once_for_the_programs_group_alone(place, tmp_path):
    folder = place / "a"
    first, check, second = (write(tmp_path, folder, FILES, *more) for more in ([], ["--check"], []))
    assert "changed=1" in first.stdout, first.stdout + first.stderr
    assert "changed=0" in check.stdout
    assert "changed=0" in second.stdout
    assert (folder.stat().st_mode & 0o7777, folder.owner(), folder.group()) == (0o750, "root", "games")
    found = {
        path.name: (path.read_text(), path.stat().st_mode & 0o7777, path.owner(), path.group())
        for path in folder.iterdir()
    }
    assert found == {
        "config": (FILES[0]["content"], 0o640, "root", "games"),
        "run": (FILES[1]["content"], 0o750, "root", "games"),
    }
    assert SECRET not in first.stdout + check.stdout + second.stdout


def test_a_run_in_check_mode_reports_new_settings_and_writes_none(place, tmp_path):
    done = write(tmp_path, place / "a", FILES, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=1" in done.stdout
    assert not (place / "a").exists()


def test_settings_that_are_refused_are_reported_and_not_written(place, tmp_path):
    done = write(tmp_path, place / "a", [FILES[0] | {"content": SECRET, "validate": "ls %s/what-is-wrong"}])
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "localhost would reject its new config, so programs keep their old settings; correct `shop_options`." in said
    assert "what-is-wrong" in said
    assert SECRET not in said
    assert not (place / "a").exists()


def test_a_fingerprint_depends_on_each_text_and_its_order():
    names = [fingerprint(texts) for texts in (["a", "b"], ["b", "a"], ["ab", ""], ["a", "b", ""], ["a"])]
    assert len(set(names)) == len(names)
    assert all(len(name) == 12 for name in names)
    assert fingerprint(["a", "b"]) == names[0]
