"""Drills on the running lab: one that must not begin, and one that is interrupted. The side effect runs whole ones."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.disruptive, pytest.mark.cluster, pytest.mark.lengthy]

PROJECT = Path(__file__).resolve().parents[2]


def test_a_drill_does_not_begin_on_a_cluster_that_is_not_healthy(balancers, playbook):
    balancers[-1].run("systemctl stop keepalived")
    try:
        output, _ = playbook("playbooks/drills/haproxy_reloaded.yml", expect_success=False)
    finally:
        balancers[-1].run("systemctl start keepalived")
    assert f"The drill has not begun, as {balancers[-1].name} was not healthy" in " ".join(output.split())
    assert "Inject the fault" not in output


def test_an_interrupted_drill_is_put_right(brokers, publishers, playbook):
    """Killed while a broker is cut off from the others and the load runs."""
    drill = subprocess.Popen(
        ["ansible-playbook", "playbooks/drills/partition.yml", "-e", "drill_before_seconds=1"],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    said = ""
    for line in drill.stdout:
        said += line
        if "Wait while the fault lasts" in line:
            break
    os.killpg(drill.pid, signal.SIGKILL)
    drill.wait()
    cut = [broker for broker in brokers if broker.host.run("nft list table inet warren_drill").rc == 0]
    assert len(cut) == 1, said
    assert publishers[0].run("systemctl is-active warren-drill") == "active"
    # It ends with the health of every part.
    playbook("playbooks/drills/heal.yml")
    assert cut[0].host.run("nft list table inet warren_drill").rc != 0
    assert publishers[0].host.run("systemctl is-active warren-drill").rc != 0
