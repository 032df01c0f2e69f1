"""Every playbook can be read with every inventory, and every inventory says what it seems to."""

import json

import kit
import pytest
from kit import INVENTORIES, PROJECT

PLAYBOOKS = sorted(path.relative_to(PROJECT) for path in (PROJECT / "playbooks").rglob("*.yml"))


@pytest.fixture(params=INVENTORIES)
def inventory(request):
    return kit.inventory_arguments(INVENTORIES[request.param])


def test_every_playbook_passes_the_syntax_check(inventory):
    """In one run, which names each playbook and stops at the first that is wrong."""
    done = kit.run("ansible-playbook", *inventory, "--syntax-check", *PLAYBOOKS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [word for playbook in PLAYBOOKS for word in ("playbook:", str(playbook))]
    # A group that no inventory has would be a warning, and a play that silently does nothing.
    assert done.stderr == ""


def test_every_inventory_draws_its_graph(inventory):
    """A file that cannot be read is only a warning, and an inventory without hosts."""
    done = kit.run("ansible-inventory", *inventory, "--graph")
    assert (done.returncode, done.stderr) == (0, "")
    for group in kit.roles_by_group():
        assert f"@{group}:" in done.stdout


def test_every_host_has_an_address(inventory):
    """`wiring.yml` takes addresses from the inventory, so that --limit works."""
    done = kit.run("ansible-inventory", *inventory, "--list", "--export", "--limit", "all")
    assert done.returncode == 0, done.stderr
    variables = json.loads(done.stdout)["_meta"]["hostvars"]
    assert variables
    assert [host for host, values in variables.items() if not values.get("ansible_host")] == []
    addresses = [values["ansible_host"] for values in variables.values()]
    assert len(set(addresses)) == len(addresses), "two hosts have the same address"
