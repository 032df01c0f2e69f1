"""The callback plugin preload has the filters loaded once, and not once for each task of each host."""

import json

import kit

FILTER = """
import os
from pathlib import Path

with Path(__file__).with_suffix(".loads").open("a") as file:
    file.write(f"{os.getpid()}\\n")


class FilterModule:
    def filters(self):
        return {"doubled": lambda number: 2 * number}
"""


def test_a_filter_is_loaded_once_for_all_tasks(tmp_path):
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters/doubled.py").write_text(FILTER)
    task = {"name": "Use it", "ansible.builtin.assert": {"that": "2 | doubled == 4", "quiet": True}}
    play = {"hosts": "all", "connection": "local", "gather_facts": False, "tasks": [task, task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = kit.run(
        *["ansible-playbook", tmp_path / "play.yml", "-i", "a,b,c,"],
        ANSIBLE_CALLBACKS_ENABLED="preload",
        ANSIBLE_FILTER_PLUGINS=str(tmp_path / "filters"),
    )
    assert done.stdout.count("ok=2") == 3, done.stdout + done.stderr
    assert len((tmp_path / "filters/doubled.loads").read_text().split()) == 1


def test_the_kit_uses_it():
    assert "preload" in (kit.PROJECT / "ansible.cfg").read_text()
