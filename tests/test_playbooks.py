"""Every playbook can be read with every inventory, and every inventory says what it seems to."""

import json

import kit
import pytest
import yaml
from kit import INVENTORIES, PROJECT

PLAYBOOKS = sorted(
    path.relative_to(PROJECT)
    for path in [*(PROJECT / "playbooks").rglob("*.yml"), *(PROJECT / "lab").glob("*.yml")]
    if path.parent.name not in ("vars", "tasks")
)


def group_variables(groups):
    """(group, its `vars:`) of every group in an inventory file."""
    for name, group in groups.items():
        if group and "vars" in group:
            yield name, group["vars"]
        yield from group_variables((group or {}).get("children") or {})


@pytest.fixture(params=INVENTORIES, scope="module")
def inventory(request):
    return kit.inventory_arguments(INVENTORIES[request.param])


def test_every_playbook_passes_the_syntax_check(inventory):
    """In one run, which names each playbook and stops at the first that is wrong."""
    done = kit.run("ansible-playbook", *inventory, "--syntax-check", *PLAYBOOKS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [word for playbook in PLAYBOOKS for word in ("playbook:", str(playbook))]
    # A group that no inventory has would be a warning, and a play that silently does nothing.
    assert done.stderr == ""


def test_every_playbook_lists_its_tasks_without_a_warning():
    """With the callback plugins of a real run."""
    done = kit.run("ansible-playbook", "--list-tasks", *PLAYBOOKS, ANSIBLE_CALLBACKS_ENABLED=kit.CALLBACKS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (kit.warnings_in(done.stdout), done.stderr) == ([], "")


def test_every_inventory_draws_its_graph(inventory):
    """A file that cannot be read is only a warning, and an inventory without hosts."""
    done = kit.run("ansible-inventory", *inventory, "--graph")
    assert (done.returncode, done.stderr) == (0, "")
    for group in {part["group"] for part in kit.PARTS}:
        assert f"@{group}:" in done.stdout


@pytest.fixture(scope="module")
def hostvars(inventory):
    done = kit.run("ansible-inventory", *inventory, "--list")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["_meta"]["hostvars"]


def test_what_an_inventory_file_sets_takes_effect(inventory, hostvars):
    """group_vars/all beats `vars:` of a group in an inventory file: such a line would silently do nothing."""
    lost = {
        f"{group}: {name}: {value}"
        for file in inventory[3::2]
        for group, variables in group_variables(yaml.safe_load(file.read_text()))
        for name, value in variables.items()
        # A group's variable may be overridden on a host, but not on every one.
        if all(of_host.get(name) != value for of_host in hostvars.values())
    }
    assert lost == set(), "set it in group_vars/ENVIRONMENT.yml or on a host instead"


def test_every_host_has_an_address(hostvars):
    """`wiring.yml` takes addresses from the inventory, so that --limit works."""
    assert [host for host, values in hostvars.items() if not values.get("ansible_host")] == []
    addresses = [values["ansible_host"] for values in hostvars.values()]
    assert len(set(addresses)) == len(addresses), "two hosts have the same address"


def test_the_last_play_waits_for_prometheus():
    """It looks at its targets while programs are deployed."""
    plays = yaml.safe_load((PROJECT / "playbooks/site.yml").read_text())
    roles = [role for play in plays for role in play.get("roles", [])]
    assert [role["prometheus_wait"] for role in roles if role["role"] == "prometheus"] == [False]
    (task,) = plays[-1]["tasks"]
    assert task["ansible.builtin.import_role"] == {"name": "prometheus", "tasks_from": "health"}
