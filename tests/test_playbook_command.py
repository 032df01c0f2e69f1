"""What a message says to type reaches the cluster that the message is about."""

import re
import shlex
import subprocess

import kit
import pytest
import yaml
from kit import PROJECT
from playbook_command import playbook_command

PRINTED = re.compile(r"ansible-playbook\b|\bsite\.yml\b")
# Whatever an operator reads while a playbook runs: tasks and templates of messages, without their comments.
FILES = [
    path
    for folder in ("playbooks", "roles")
    for path in sorted((PROJECT / folder).rglob("*.yml"))
    # make_site.yml has no inventory yet.
    if path.parent.name not in ("meta", "files") and path.name != "make_site.yml"
]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([f"{PROJECT}/inventory/production.yml"], ["-i", "inventory/production.yml"]),
        (
            [f"{PROJECT}/inventory/lab.yml", f"{PROJECT}/inventory/lab-scale-out.yml"],
            ["-i", "inventory/lab.yml", "-i", "inventory/lab-scale-out.yml"],
        ),
        ([f"{PROJECT}/inventory/kit", "/srv/shop/hosts.yml"], ["-i", "inventory/kit", "-i", "/srv/shop/hosts.yml"]),
        (["/etc/warren/our cluster.yml"], ["-i", "/etc/warren/our cluster.yml"]),
        (["mq1,mq2,"], ["-i", "mq1,mq2,"]),
        (["/tmp/$(id);.yml"], ["-i", "/tmp/$(id);.yml"]),
        ([f"{PROJECT}-old/inventory/lab.yml"], ["-i", f"{PROJECT}-old/inventory/lab.yml"]),
    ],
)
def test_a_command_has_every_inventory_of_the_run_and_survives_a_shell(sources, words):
    typed = playbook_command(sources, "site.yml", "--tags", "rabbitmq")
    assert shlex.split(typed) == ["ansible-playbook", *words, "playbooks/site.yml", "--tags", "rabbitmq"]
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {typed}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == shlex.split(typed)


def test_a_run_gives_its_inventories_to_the_filter(tmp_path):
    """Also in a play on this machine, which the inventory does not know."""
    playbook = tmp_path / "say.yml"
    command = "ansible_inventory_sources | playbook_command('management.yml', '-e', 'state=off')"
    task = {"name": "Say it", "ansible.builtin.debug": {"msg": "type `{{ " + command + " }}`."}}
    play = {"name": "Say", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    playbook.write_text(yaml.safe_dump([play]))
    inventory = tmp_path / "our cluster.yml"
    inventory.write_text("all: {hosts: {mq1: {}}}\n")
    done = kit.run("ansible-playbook", "-i", "inventory/lab.yml", "-i", inventory, playbook)
    said = f"type `ansible-playbook -i inventory/lab.yml -i '{inventory}' playbooks/management.yml -e state=off`."
    assert said in " ".join(done.stdout.split()), done.stdout + done.stderr


def strings(value):
    """Every string of a YAML document but the names of playbooks that it includes."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "ansible.builtin.import_playbook":
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_no_message_has_a_command_of_its_own():
    """The inventory would be missing in it, and the default one is the lab's."""
    found = {}
    for path in FILES:
        for text in strings(yaml.safe_load(path.read_text())):
            if PRINTED.search(re.sub(r"playbook_command\([^)]*\)", "", text)):
                found[str(path.relative_to(PROJECT))] = text
    assert found == {}


def test_each_command_names_a_playbook_that_exists():
    named = {name for path in FILES for name in re.findall(r"playbook_command\('([^']+)'", path.read_text())}
    assert len(named) > 3
    assert [name for name in named if not (PROJECT / "playbooks" / name).is_file()] == []
