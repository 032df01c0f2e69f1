"""Preflight refuses what the hosts of a running cluster contradict, and changes nothing."""

import json

import pytest


@pytest.fixture
def refused(playbook):
    """What preflight says of changed inputs, on one line: refused(name=value)."""

    def run(**changed):
        output, recap = playbook("playbooks/preflight.yml", "-e", json.dumps(changed), expect_success=False)
        assert {counts["changed"] for counts in recap.values()} == {0}
        return " ".join(output.split())

    return run


@pytest.mark.parametrize("name", [pytest.param("secrets_dir", marks=pytest.mark.cluster), "secret_erlang_cookie"])
def test_new_secrets_are_refused_where_the_brokers_have_others(refused, brokers, tmp_path, name):
    """Those of another folder, and one that the inventory sets, as the lab of one host does."""
    said = refused(**{name: str(tmp_path)})
    assert "These are not the secrets that " + ", ".join(broker.name for broker in brokers) in said
    assert "/erlang_cookie holds unless you set it, is not the Erlang cookie there" in said


@pytest.mark.cluster
def test_another_shared_address_must_be_in_the_network(refused, balancers):
    said = refused(cluster_vip="192.0.2.20")
    for balancer in balancers:
        assert f"`cluster_vip` is 192.0.2.20, which lies in no network of {balancer.name} (" in said


@pytest.mark.cluster
@pytest.mark.disruptive
def test_a_port_that_another_program_has_is_refused_with_its_name(refused, monitors):
    host = monitors[0]
    unit = ["systemd-run", "--quiet", "--unit=squatter", "--collect", "--property=DynamicUser=true"]
    host.run(" ".join([*unit, "python3 -m http.server 8123 --bind", host.expect("flower_bind")]))
    try:
        host.run(f"sh -c 'until ss -ltn | grep -q {host.expect('flower_bind')}:8123; do sleep 0.2; done'")
        said = refused(cluster_flower_port=8123)
        assert (
            f"Port 8123 of {host.name} is taken by python3 / squatter.service, and flower needs it for Flower's" in said
        )
        assert "`sudo systemctl disable --now squatter.service`, or set `cluster_flower_port` to a free port." in said
    finally:
        host.run("systemctl stop squatter")
