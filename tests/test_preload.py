"""The callback plugin preload saves what Ansible does again for each task of each host, and for each template."""

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


# Writes down who copies variables with all that is in them.
COPIES = """
import copy
import sys
from pathlib import Path

deepcopy = copy.deepcopy


def counted(*arguments):
    with Path(__file__).with_suffix(".by").open("a") as file:
        file.write(sys._getframe(1).f_globals["__name__"] + " copies\\n")
    return deepcopy(*arguments)


copy.deepcopy = counted


class FilterModule:
    def filters(self):
        return {}
"""


def test_a_template_is_rendered_without_a_copy_of_all_variables(tmp_path):
    """And gets its own ones, which no other template sees."""
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters/copies.py").write_text(COPIES)
    (tmp_path / "filters/copies.by").touch()
    (tmp_path / "a.j2").write_text("{{ everywhere }} {{ own | default('none') }} {{ template_path | basename }}")
    lookups = (
        "lookup('ansible.builtin.template', 'a.j2', template_vars={'own': 'mine'})",
        "lookup('template', 'a.j2')",
    )
    task = {"name": "Render", "ansible.builtin.debug": {"msg": [f"{{{{ {lookup} }}}}" for lookup in lookups]}}
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars": {"everywhere": "yes"},
        "tasks": [task],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = kit.run(
        *["ansible-playbook", tmp_path / "play.yml", "-i", "a,"],
        ANSIBLE_CALLBACKS_ENABLED="preload",
        ANSIBLE_FILTER_PLUGINS=str(tmp_path / "filters"),
    )
    assert "yes mine a.j2" in done.stdout and "yes none a.j2" in done.stdout, done.stdout + done.stderr
    assert "lookup.template" not in (tmp_path / "filters/copies.by").read_text()


def test_the_kit_uses_it():
    assert "preload" in (kit.PROJECT / "ansible.cfg").read_text()
