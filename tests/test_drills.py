"""A drill refuses, before it asks any host, where it may not run or would prove nothing."""

import sys

import kit
import pytest
import yaml
from kit import PROJECT

DRILLS = sorted(path.name for path in (PROJECT / "playbooks/drills").glob("*.yml") if path.name != "heal.yml")


def drill(folder, playbook, brokers=3, workers=2, **variables):
    """Run a drill on an inventory of hosts that cannot be reached."""
    hosts = {
        "rabbitmq": {f"mq{number}": {} for number in range(1, brokers + 1)},
        "haproxy": {"lb1": {}},
    }
    celery = {"celery": {"children": {"celery_workers": {"hosts": {f"w{n}": {} for n in range(1, workers + 1)}}}}}
    children = celery | {group: {"hosts": of_group} for group, of_group in hosts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inventory.yml").write_text(yaml.safe_dump({"test": {"children": children}}))
    return kit.run(
        *["ansible-playbook", *kit.inventory_arguments([kit.KIT_INVENTORY, folder / "inventory.yml"])],
        PROJECT / "playbooks/drills" / playbook,
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
        ("parts/begin.yml", {"cluster_environment": "lab"}, ["only a part of the drills", "ls playbooks/drills"]),
    ],
)
def test_a_drill_refuses_with_what_to_type(tmp_path, playbook, changes, words):
    run = drill(tmp_path, playbook, **changes)
    assert run.returncode != 0
    for word in words:
        assert word in run.stdout
    # Nothing was asked of a host.
    assert "UNREACHABLE" not in run.stdout


# What counts tasks.
COUNTERS = pytest.mark.parametrize("playbook", ["broker_killed.yml", "../collect.yml", "../count.yml"])


@COUNTERS
def test_a_project_without_a_folder_for_the_ledger_is_refused_before_a_host_is_asked(tmp_path, playbook):
    run = drill(
        tmp_path, playbook, drill_confirm="production", run="r", cluster_app_name="shop", cluster_app_environment={}
    )
    assert run.returncode != 0
    assert "The project `shop` has no ledger, as its `cluster_app_environment` has no LEDGER_DIR." in run.stdout
    assert "Nothing was broken or changed" in run.stdout
    assert "UNREACHABLE" not in run.stdout


@COUNTERS
def test_a_release_without_the_ledger_is_refused_in_a_sentence(tmp_path, playbook):
    program = tmp_path / "run"
    program.write_text("#!/bin/sh\necho Traceback >&2\necho No module named warren_app >&2\nexit 1\n")
    program.chmod(0o755)
    here = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    run = drill(tmp_path, playbook, drill_confirm="production", run="r", wiring_run=str(program), **here)
    assert run.returncode != 0
    assert (
        "fails on w1 (No module named warren_app), so the release of the project `reference` has no ledger"
        in run.stdout
    )
    assert "Nothing was broken or changed" in run.stdout
    assert "Traceback" not in run.stdout


@pytest.mark.parametrize("playbook", DRILLS)
def test_every_drill_has_a_name_of_its_file_and_a_bound(playbook):
    """The report names what to type to see it again."""
    plays = yaml.safe_load((PROJECT / "playbooks/drills" / playbook).read_text())
    (variables,) = [play["vars"] for play in plays if "drill_name" in play.get("vars", {})]
    assert f"{variables['drill_name']}.yml" == playbook
    assert variables["drill_title"]
    assert variables["drill_bounds"]
