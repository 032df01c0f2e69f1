"""A drill refuses, before it asks any host, where it may not run or would prove nothing."""

import kit
import pytest
import yaml
from kit import PROJECT

DRILLS = sorted(path.name for path in (PROJECT / "playbooks/drills").glob("*.yml") if path.name != "heal.yml")


def drill(folder, playbook, brokers=3, workers=2, **variables):
    """Run a drill on an inventory of hosts that nobody could reach."""
    hosts = {
        "rabbitmq": {f"mq{number}": {} for number in range(1, brokers + 1)},
        "haproxy": {"lb1": {}},
    }
    celery = {"celery": {"children": {"celery_workers": {"hosts": {f"w{n}": {} for n in range(1, workers + 1)}}}}}
    children = celery | {group: {"hosts": of_group} for group, of_group in hosts.items()}
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars/all").symlink_to(PROJECT / "inventory/group_vars/all")
    (folder / "inventory.yml").write_text(yaml.safe_dump({"test": {"children": children}}))
    return kit.run(
        *["ansible-playbook", "-i", folder / "inventory.yml", f"playbooks/drills/{playbook}"],
        *kit.extra_vars(secrets_dir=folder / "secrets", ansible_host="192.0.2.1", **variables),
        ANSIBLE_CALLBACK_RESULT_FORMAT="json",
    )


@pytest.mark.parametrize(
    ("playbook", "changes", "words"),
    [
        ("broker_killed.yml", {}, ["this one is `production`", "add `-e drill_confirm=production`"]),
        ("broker_killed.yml", {"drill_confirm": "staging"}, ["add `-e drill_confirm=production`"]),
        ("broker_killed.yml", {"cluster_environment": "lab", "brokers": 1}, ["has 1 broker", "need three"]),
        (
            "broker_host_off.yml",
            {"drill_confirm": "production"},
            ["set `drill_power_off` and `drill_power_on`", "virsh"],
        ),
        ("parts/begin.yml", {"cluster_environment": "lab"}, ["part of others", "ls playbooks/drills"]),
    ],
)
def test_a_drill_refuses_with_what_to_type(tmp_path, playbook, changes, words):
    run = drill(tmp_path, playbook, **changes)
    assert run.returncode != 0
    for word in words:
        assert word in run.stdout
    # Nothing was asked of a host.
    assert "UNREACHABLE" not in run.stdout


@pytest.mark.parametrize("playbook", DRILLS)
def test_every_drill_has_a_name_of_its_file_and_a_bound(playbook):
    """The report names what to type to see it again."""
    plays = yaml.safe_load((PROJECT / "playbooks/drills" / playbook).read_text())
    variables = plays[0]["vars"]
    assert f"{variables['drill_name']}.yml" == playbook
    assert variables["drill_title"]
    assert variables["drill_bounds"]
