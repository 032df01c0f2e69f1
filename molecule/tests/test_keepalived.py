"""The address that the HAProxies share: one of them has it, and gives it up when it cannot serve."""

import time

import pytest

pytestmark = pytest.mark.cluster

# Says a word to HAProxy's admin socket for each of its servers.
TELL_HAPROXY = """
import socket, sys
for server in sys.argv[2:]:
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect("/run/haproxy/admin.sock")
        admin.sendall(f"set server {server} state {sys.argv[1]}\\n".encode())
        admin.recv(100)
"""


def holders(balancers):
    """The names of the hosts that have the shared address."""
    question = f"ip -4 address show to {balancers[0].expect('keepalived_virtual_address')}"
    return [balancer.name for balancer in balancers if balancer.run(question)]


def wait_for_holder(balancers, name):
    """Wait until the host of this name, and no other one, has the address."""
    found = []
    for _ in range(30):
        found = holders(balancers)
        if found == [name]:
            return
        time.sleep(0.5)
    raise AssertionError(f"{found} have the address, and not {name}")


def tell_haproxy(balancer, state):
    listener = balancer.expect("haproxy_listeners")[0]
    servers = [f"{listener['name']}/{server}" for server in listener["servers"]]
    balancer.run("python3 -c %s %s " + " ".join(servers), TELL_HAPROXY, state)


def test_one_host_has_the_address(balancers):
    assert len(holders(balancers)) == 1


def test_the_check_runs_without_rights(balancer):
    """keepalived refuses a script that a user other than root may write, and logs which user runs it."""
    log = balancer.run("journalctl --unit=keepalived --output=cat --no-pager")
    assert "WARNING - script" not in log
    assert "SECURITY VIOLATION" not in log
    assert "script_user nobody" in balancer.run("cat /etc/keepalived/keepalived.conf")


@pytest.mark.disruptive
@pytest.mark.parametrize(
    ("breaks", "heals"),
    [
        ("systemctl stop haproxy", "systemctl start haproxy"),
        ("systemctl kill --signal=STOP haproxy", "systemctl kill --signal=CONT haproxy"),
        ("systemctl stop keepalived", "systemctl start keepalived"),
    ],
)
def test_another_host_takes_the_address_and_keeps_it(balancers, breaks, heals):
    """A host that is well again does not take it back: each move breaks every connection."""
    (holder,) = [balancer for balancer in balancers if balancer.name in holders(balancers)]
    (other,) = [balancer for balancer in balancers if balancer is not holder]
    holder.run(breaks)
    try:
        wait_for_holder(balancers, other.name)
    finally:
        holder.run(heals)
    # Longer than the host takes to be well again.
    time.sleep(6)
    assert holders(balancers) == [other.name]


@pytest.mark.disruptive
def test_a_host_that_reaches_no_broker_gives_the_address_up(balancers):
    (holder,) = [balancer for balancer in balancers if balancer.name in holders(balancers)]
    (other,) = [balancer for balancer in balancers if balancer is not holder]
    tell_haproxy(holder, "maint")
    try:
        wait_for_holder(balancers, other.name)
    finally:
        tell_haproxy(holder, "ready")
