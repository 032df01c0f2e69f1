"""Each host takes connections as docs/ports.md says, from those that it says, and from nobody else."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kit import PROJECT
from testinfra.utils.ansible_runner import AnsibleRunner

pytestmark = pytest.mark.disruptive

# Hosts of these groups try to connect; the others have nothing that these lack.
KINDS = ["rabbitmq", "haproxy", "celery_workers", "monitoring"]
# An address of the lab's network that no host has.
STRANGER = "10.203.57.99"
# What a row of the page says of the clients, and the groups that have them; a stranger is in none.
GROUPS = {
    "everyone": None,
    # Everybody, unless the inventory says more.
    "`cluster_web_addresses`": None,
    "`cluster_admin_addresses`": [],
    "the hosts of `monitoring`": ["monitoring"],
    "the other brokers": ["rabbitmq"],
    "the hosts of `haproxy`, or the project's where there is none": ["haproxy"],
    "the hosts of `celery`": ["celery"],
}
PAGE_IS_OFF = 15672
# Where RabbitMQ's commands listen while they run, for the other brokers.
TOOLS = range(35672, 35683)
# Past the kernel's own rules, which would remember each try.
NMAP = "nmap --send-eth -sS -n -Pn -p- --max-retries 0 -oG -"


# What the lab has none of, as it uses TLS.
NOT_HERE = "without `cluster_tls`"


def rows():
    """The rows of docs/ports.md: a port, the groups of its hosts, and the groups of each client (None is anybody)."""
    for line in (PROJECT / "docs/ports.md").read_text().splitlines():
        if re.match(r"\| \d", line):
            port, _, what, hosts, _, clients, _ = [cell.strip() for cell in line.strip("|").split("|")]
            if NOT_HERE in what:
                continue
            yield int(port), re.findall(r"`(\w+)`", hosts), [GROUPS[client] for client in clients.split("; ")]


def expected(groups, source, target):
    """The ports of a host at which the page says that another one, or a stranger (None), may connect."""

    def has(host, names):
        return all(host in groups[name] for name in names)

    return sorted(
        {
            port
            for port, hosts, clients in rows()
            if port != PAGE_IS_OFF
            and has(target, hosts)
            and any(one is None or (source and one and has(source, one)) for one in clients)
        }
    )


def scan(member, targets, options=""):
    """The open ports of each of some hosts, given by address and name, as one host sees them."""
    said = member.run(f"{NMAP} {options} {' '.join(targets)}", seconds=400)
    found = {name: [] for name in targets.values()}
    for address, ports in re.findall(r"^Host: (\S+) .*?Ports: (.*?)(?:\t|$)", said, re.MULTILINE):
        open_ports = [int(port) for port in re.findall(r"(\d+)/open/", ports)]
        found[targets[address]] = [port for port in open_ports if port not in TOOLS]
    return found


@pytest.fixture(scope="module")
def groups(inventory):
    """The hosts of each group."""
    runner = AnsibleRunner()
    names = {
        name for _, hosts, clients in rows() for name in [*hosts, *(one for some in clients for one in some or [])]
    }
    return {name: set(runner.get_hosts(name)) for name in {*names, *KINDS, "all"}}


@pytest.fixture(scope="module")
def scanners(groups, all_members):
    """A host of each kind, with nmap."""
    found = [min((m for m in all_members if m.name in groups[kind]), key=lambda m: m.name) for kind in KINDS]
    with ThreadPoolExecutor(len(found)) as pool:
        list(pool.map(lambda m: m.run("apt-get install -qq --no-install-recommends nmap", seconds=200), found))
    yield found
    for member in found:
        member.run("apt-get purge -qq --autoremove nmap", seconds=100)


@pytest.mark.cluster
def test_every_kind_of_host_reaches_exactly_the_ports_of_the_page(groups, scanners, all_members):
    """All TCP ports of all hosts. What differs is tried once more and slowly, as a packet may get lost."""

    def look(scanner):
        wanted = {m.name: expected(groups, scanner.name, m.name) for m in all_members if m is not scanner}
        found = {}
        for rate in (20000, 2000):
            left = {m.address: m.name for m in all_members if found.get(m.name) != wanted.get(m.name)}
            if left:
                found |= scan(scanner, left, f"--min-rate {rate}")
        return {name: (ports, wanted[name]) for name, ports in found.items() if ports != wanted[name]}

    with ThreadPoolExecutor(2) as pool:
        assert dict(zip(KINDS, pool.map(look, scanners), strict=True)) == {kind: {} for kind in KINDS}


@pytest.mark.cluster
def test_a_stranger_reaches_exactly_the_ports_of_the_page(groups, scanners, all_members):
    """By an address of its own, which a worker host takes for a while."""
    member = scanners[KINDS.index("celery_workers")]
    others = {m.address: m.name for m in all_members if m is not member}
    member.run(f"ip address add {STRANGER}/24 dev eth0")
    try:
        found = scan(member, others, f"--min-rate 20000 -e eth0 -S {STRANGER}")
    finally:
        member.run(f"ip address del {STRANGER}/24 dev eth0")
    assert found == {name: expected(groups, None, name) for name in others.values()}
    assert set(map(tuple, found.values())) == {(22,)}


@pytest.mark.cluster
def test_by_ipv6_only_logins_are_open(scanners, all_members):
    """Through the addresses that every link has."""
    member = scanners[KINDS.index("celery_workers")]
    show = "sh -c \"ip -6 -oneline address show dev eth0 scope link | grep -o 'fe80[^/]*'\""
    others = {m.run(show): m.name for m in all_members if m is not member}
    assert scan(member, others, "-6 --min-rate 20000 -e eth0") == {name: [22] for name in others.values()}


def answers(member, port):
    """Whether this machine reaches a port of a host."""
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex((member.address, port)) == 0


@pytest.mark.cluster
def test_a_broker_is_answered_by_all_others(brokers):
    """What it asks them they send to a port of the command, which it has for that time."""
    for broker in brokers:
        vhost = broker.expect("rabbitmq_vhost")
        broker.run(f"rabbitmqctl --quiet --timeout 20 list_queues -p {vhost} name pid", seconds=40)


def refused(member):
    """How many packets the firewall has refused."""
    return int(re.search(r"counter packets (\d+)", member.run("nft list table inet warren"))[1])


def test_what_is_refused_is_counted(all_members):
    """From this machine; the port is nobody's."""
    before = refused(all_members[0])
    assert not answers(all_members[0], 4000)
    assert refused(all_members[0]) > before


def rules(member):
    return member.run("nft --stateless list table inet warren")


def test_rules_that_somebody_changed_are_found_and_put_right(playbook, all_members):
    """Tables of somebody's own stay."""
    member = all_members[-1]
    before = rules(member)
    member.run("nft add table inet mine")
    try:
        member.run("nft add rule inet warren input tcp dport 4000 accept")
        said, _ = playbook("playbooks/health.yml", "--limit", member.name, expect_success=False)
        assert "the firewall is not as the last run has left it: type" in said
        member.run("nft delete table inet warren")
        said, _ = playbook("playbooks/health.yml", "--limit", member.name, expect_success=False)
        assert "the firewall is not as the last run has left it: type" in said
        _, recap = playbook("playbooks/site.yml", "--tags", "host", "--limit", member.name)
        assert recap[member.name]["changed"] == 2
        assert rules(member) == before
        member.run("nft list table inet mine")
    finally:
        member.run("nft delete table inet mine")


def test_debians_own_service_does_not_take_the_rules_away(all_members):
    """It begins with `flush ruleset`. The kit's service loads them when the host boots, too."""
    member = all_members[-1]
    before = rules(member)
    assert member.run("systemctl is-enabled warren-firewall") == "enabled"
    was_active = member.host.run("systemctl is-active nftables").rc == 0
    for command in ("start", "restart", "reload", "stop"):
        member.run(f"systemctl {command} nftables")
        assert rules(member) == before, command
    member.run("nft flush ruleset")
    member.run("systemctl restart warren-firewall")
    assert rules(member) == before
    if was_active:
        member.run("systemctl start nftables")


@pytest.mark.lengthy
def test_rules_that_lock_ansible_out_are_taken_back(playbook, all_members):
    """Preflight would refuse them, so the role is called without it."""
    member = all_members[-1]
    before = rules(member)
    begun = time.monotonic()
    said, _ = playbook("molecule/tests/lock_out.yml", "--limit", member.name, expect_success=False)
    assert f"The firewall's new rules do not let Ansible in to {member.name}, so the host puts its former" in said
    assert not answers(member, 22)
    # The timer has two minutes.
    while not answers(member, 22) and time.monotonic() - begun < 200:
        time.sleep(1)
    assert 60 < time.monotonic() - begun < 200
    assert rules(member) == before
