"""How release commands get an environment of their own, which programs do not have."""

import json
import subprocess

import kit
import pytest
import yaml

# What each role sets for all programs comes first.
RUN = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/arguments
export PGUSER=programs KIND=program
exec "$@"
"""
VALUES = {"PGUSER": "migrations", "PGPASSWORD": 'it\'s "#1" $HOME `id` \\ %s é\n two', "NUMBER": 7}
PLAY = {
    "name": "Show",
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "vars": {"celery_app_release_environment": VALUES, "ansible_become": False},
    "tasks": [
        {"name": "Read the role", "ansible.builtin.include_vars": f"{kit.PROJECT}/roles/celery_app/vars/main.yml"},
        {
            "name": "Write",
            "ansible.builtin.copy": {
                "content": "{{ [__celery_app_prepare, __celery_app_exports] | to_json }}",
                "dest": "{{ playbook_dir }}/found.json",
            },
        },
    ],
}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Run a release command: release(command) -> the process that has ended."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "play.yml").write_text(yaml.safe_dump([PLAY]))
    done = kit.run("ansible-playbook", "-i", "localhost,", folder / "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    script, exports = json.loads((folder / "found.json").read_text())
    (folder / "exports").write_text(exports)
    (folder / "run").write_text(RUN.format(folder=folder))
    (folder / "run").chmod(0o755)

    def run(command):
        words = ["sh", "-c", script, folder / "run", folder / "exports", command]
        return subprocess.run(words, input="mine", capture_output=True, text=True, timeout=30, check=False)

    run.arguments = folder / "arguments"
    return run


def test_a_command_has_its_own_values_beside_those_of_programs(release):
    done = release("env -0")
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    wanted = {name: str(value) for name, value in VALUES.items()} | {"KIND": "program"}
    assert {name: found.get(name) for name in wanted} == wanted


def test_no_argument_has_them(release):
    seen = release("tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' ' ' < /proc/$PPID/cmdline").stdout
    assert "proc" in seen
    assert "#1" not in seen + release.arguments.read_text()


def test_a_command_reads_nothing_and_its_exit_code_counts(release):
    done = release("cat; echo no such table >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("", "no such table\n", 3)
