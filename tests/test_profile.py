"""What `make profile` measures: the callback plugin counts each execution, and there must be a lab."""

import json
import sys

import kit
import yaml

PLAY = {
    "name": "Two tasks",
    "hosts": "localhost",
    "connection": "local",
    "gather_facts": False,
    "tasks": [
        {"name": "Look twice", "ansible.builtin.stat": {"path": "/{{ item }}"}, "loop": ["etc", "usr"]},
        {"name": "Say something", "ansible.builtin.debug": {"msg": "On the control node alone"}},
    ],
}


def test_each_execution_of_a_module_is_counted_for_its_task_and_host(tmp_path):
    (tmp_path / "play.yml").write_text(yaml.safe_dump([PLAY]))
    done = kit.run(
        *["ansible-playbook", tmp_path / "play.yml", "-i", "localhost,"],
        *kit.extra_vars(ansible_become=False, ansible_python_interpreter=sys.executable),
        ANSIBLE_CALLBACKS_ENABLED="profile",
        WARREN_PROFILE=str(tmp_path / "found.json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [(task["play"], task["task"], task["executions"]) for task in found["tasks"]] == [
        ("Two tasks", "Look twice", {"localhost": 2}),
        ("Two tasks", "Say something", {}),
    ]
    assert 0 < sum(task["wall_seconds"] for task in found["tasks"]) <= found["wall_seconds"]
    assert found["control_cpu_seconds"] > 0


def test_without_a_lab_it_says_what_to_type(tmp_path):
    inventory = tmp_path / "hosts"
    inventory.write_text("mq1 ansible_host=127.0.0.1 ansible_port=1\n")
    done = kit.run(sys.executable, kit.PROJECT / "lab/profile", "preflight", ANSIBLE_INVENTORY=str(inventory))
    assert done.returncode == 1
    assert done.stderr == "There is no running lab to measure: type `make lab`.\n"


def test_an_unknown_run_is_refused_with_the_known_ones():
    done = kit.run(sys.executable, kit.PROJECT / "lab/profile", "nonsense")
    assert done.returncode == 1
    assert done.stderr.startswith("nonsense is none of: fresh hosts, nothing to do, ")
