"""What hosts answer is compared with what the inventory wants there, and each sentence says what to type."""

import copy

import kit
import pytest
import yaml
from warren import host_rules
from warren.host_rules import Address, File, Host, Listener, OpenPort, User, Wanted, WayIn, wrong_hosts

KIT_PORTS = kit.kit_variables("ports")
# What the variables of the table are on a host, by its address.
VALUES = kit.kit_variables("cluster") | {"cluster_alertmanager_config": {"route": {}}}
DEPLOYED = {host_rules.DEPLOYED: File("root"), host_rules.ZONES: File("root")}
DEPLOYED[f"{host_rules.ZONES}/Etc/UTC"] = File("root")
# What the project has left.
LEFT = {host_rules.PROJECT_HOME: File("celery"), "/opt/celery/shop/check_app.py": File("root")}
PARTS = {
    "mq1": ["host", "exporter", "rabbitmq"],
    "mq2": ["host", "exporter", "rabbitmq"],
    "lb1": ["host", "exporter", "haproxy", "keepalived"],
    "lb2": ["host", "exporter", "haproxy", "keepalived"],
    "w1": ["host", "exporter", "celery_app", "celery_worker"],
    "mon1": ["host", "exporter", "redis", "celery_app", "flower", "prometheus"],
}
VIP = "10.0.0.20"
LOGINS = OpenPort("logins", "tcp", 22, ["0.0.0.0/0", "::/0"])


def made(number, name, parts):
    """A host on which the kit runs and all is well."""
    address = f"10.0.0.{number}"

    def value(variable):
        if variable == "wiring_haproxy_addresses":
            return [VIP, address]
        if variable in ("wiring_listens_plain", "wiring_listens_tls"):
            return variable == "wiring_listens_plain"
        if variable == "wiring_epmd_addresses":
            return ["127.0.0.1", address]
        return address if variable.endswith(("_bind", "_address")) else VALUES[variable]

    claims = host_rules.claims_of(KIT_PORTS["kit_ports"], parts, value)
    services = host_rules.services_of(KIT_PORTS["kit_services"], parts, value)
    return Host(
        name=name,
        address=address,
        parts=parts,
        claims=claims,
        taken=services,
        release="bookworm",
        distribution="Debian",
        architecture="x86_64",
        python_version="3.11.2",
        takes_python=True,
        time_zone="Etc/UTC",
        firewall=[LOGINS],
        way_in=WayIn("192.0.2.9", 22),
        memory_bytes=2 * 10**9,
        addresses=[Address("lo", "127.0.0.1", 8), Address("eth0", address, 24)],
        listening=[
            Listener("0.0.0.0", 22, ["ssh.service", "sshd"]),
            *(Listener("::", claim.port, [one.replace("*", "x") for one in claim.programs]) for claim in claims),
        ],
        services=["ssh.service", *(one.service.replace("*", "x") for one in services if one.file)],
        users={"celery": User("/var/lib/celery", "/usr/sbin/nologin")} if "celery_app" in parts else {},
        files=copy.deepcopy(DEPLOYED)
        | {one.file.replace("*", "x"): File("root") for one in services if one.file}
        | ({host_rules.COOKIE_IS_OURS: File("root")} if "rabbitmq" in parts else {})
        | (LEFT if "celery_app" in parts else {}),
        digests={host_rules.COOKIE: "c00"} if "rabbitmq" in parts else {},
        answered=False,
    )


@pytest.fixture
def hosts():
    return {name: made(number, name, parts) for number, (name, parts) in enumerate(PARTS.items(), 1)}


WANTED = Wanted(
    releases=["bookworm", "trixie"],
    mirroring_releases=["bookworm"],
    queue_type="mirrored",
    app_name="shop",
    app_user="celery",
    web_user="celery-web",
    default_python=True,
    python_wanted=">=3.11",
    c_publisher=False,
    c_publisher_architectures=["x86_64"],
    vip=VIP,
    carriers=["lb1", "lb2"],
    cookies=["c00"],
    secrets_dir=".secrets/production",
    admins=["192.0.2.0/28", "2001:db8::/64"],
)


def wrong(found, **more):
    return wrong_hosts(list(found.values()), Wanted(**(vars(WANTED) | more)))


def fresh(host):
    """As a host is that the kit has never deployed."""
    host.listening, host.services, host.users, host.files, host.digests = [], [], {}, {}, {}
    return host


def test_where_all_is_well_nothing_is_said(hosts):
    assert wrong(hosts) == []
    assert wrong({name: fresh(host) for name, host in hosts.items()}) == []


def test_the_site_may_have_its_own_user_or_the_projects(hosts):
    site(hosts["w1"], File("celery-web"), User("/var/lib/celery/web", "/usr/sbin/nologin"))
    site(hosts["mon1"])
    assert wrong(hosts) == []
    # It owns no files of the site's own then, and those that are left do not matter.
    assert wrong(hosts, web_user="celery") == []


def with_address(host, address, *own):
    host.address = address
    host.addresses = [Address("lo", "127.0.0.1", 8), *own]


def taken(host, port, *programs, address="0.0.0.0"):
    host.listening = [Listener(address, port, list(programs))]


def changed(host, **more):
    for name, value in more.items():
        setattr(host, name, value)


def left_by(host, owner):
    host.files[host_rules.PROJECT_HOME] = File(owner)


def somebodys(host, service, *files):
    """A service on a host where the kit has never been."""
    host.services = [service]
    host.files = DEPLOYED | {file: File("root") for file in files}
    del host.files[host_rules.DEPLOYED]


def site(host, left=None, about=None):
    """The host has the site, or shall have it."""
    host.parts = [*host.parts, "web"]
    host.files |= {host_rules.SITE_HOME: left} if left else {}
    host.users |= {"celery-web": about} if about else {}


def user(host, home, shell):
    del host.files[host_rules.PROJECT_HOME]
    host.users = {"celery": User(home, shell)}


# The host, what is done to it, the words of the sentence in their order, and what differs in what is wanted.
CASES = {
    "another Debian": (
        *("w1", lambda host: changed(host, release="bullseye")),
        ["w1 runs Debian bullseye", "12 (bookworm) and 13 (trixie)", "install one of them on it"],
    ),
    "a broker that mirrors no queues": (
        *("mq1", lambda host: changed(host, release="trixie")),
        ["mq1 runs Debian trixie", "mirrors no queues", "`cluster_queue_type: quorum`", "install Debian 12"],
    ),
    "brokers of two releases": (
        *("mq1", lambda host: changed(host, release="trixie")),
        ["mq1: trixie", "mq2: bookworm", "cannot be upgraded", "the same release on all hosts below `rabbitmq:`"],
        {"queue_type": "quorum"},
    ),
    "a broker with little memory": (
        *("mq1", lambda host: changed(host, memory_bytes=191_000_000)),
        ["mq1 has 191 MB of memory", "quorum queues needs 192 MB", "give it more"],
        {"queue_type": "quorum"},
    ),
    "no wheel for it": (
        *("w1", lambda host: changed(host, architecture="aarch64")),
        ["w1 is aarch64, but librabbitmq-fork", "`cluster_c_publisher: false`"],
        {"c_publisher": True},
    ),
    "another project": (
        *("w1", lambda host: host.files.update({"/opt/celery/old/check_app.py": File("root")})),
        ["w1 runs the project old, and shop would", "`sudo supervisorctl stop all; sudo rm -r /opt/celery/old`"],
    ),
    "another Python": (
        *("w1", lambda host: changed(host, takes_python=False)),
        ["The project wants Python >=3.11, and w1 has 3.11.2", "`celery_app_python`"],
    ),
    "files of another user": (
        *("w1", lambda host: left_by(host, "shop")),
        ["would run as celery on w1", "which belongs to shop: set `cluster_app_user` to that user again"],
    ),
    "files of a user who is gone": (
        *("w1", lambda host: left_by(host, "")),
        ["which belongs to nobody: set `cluster_app_user`"],
    ),
    "a user with a login": (
        *("w1", lambda host: user(host, "/home/celery", "/bin/bash")),
        ["w1 has a user celery already", "home /home/celery, shell /bin/bash", "set `cluster_app_user` to a name"],
    ),
    "a user with another home": (
        *("w1", lambda host: user(host, "/var/www", "/usr/sbin/nologin")),
        ["w1 has a user celery already", "home /var/www", "set `cluster_app_user` to a name that no host has"],
    ),
    "files of another user of the site": (
        *("w1", lambda host: site(host, File("shop-web"))),
        ["The site would run as celery-web on w1", "shop-web: set `cluster_web_user`", "`sudo supervisorctl stop web;"],
    ),
    "a user of the site with a login": (
        *("w1", lambda host: site(host, None, User("/home/me", "/bin/bash"))),
        ["w1 has a user celery-web already", "home /home/me", "the site would run", "set `cluster_web_user` to a name"],
    ),
    "an address behind a NAT": (
        *("w1", lambda host: with_address(host, "203.0.113.5", Address("ens5", "10.0.0.5", 32))),
        ["w1 has the address 203.0.113.5 in the inventory", "10.0.0.5 on ens5", "`cluster_address: 10.0.0.5`"],
    ),
    "no such time zone": (
        *("w1", lambda host: changed(host, time_zone="Europe/Berlim")),
        ["There is no time zone Europe/Berlim on w1: set `host_timezone`"],
    ),
    "a port that somebody has": (
        *("lb1", lambda host: taken(host, 5672, "nginx", "nginx.service")),
        [
            "Port 5672 of lb1 is taken by nginx / nginx.service, and haproxy needs it for AMQP",
            "`sudo systemctl disable --now nginx.service`, or set `cluster_amqp_port` to a free port.",
        ],
    ),
    "a port that has no service": (
        *("lb1", lambda host: taken(host, 8404, "python3", address=host.address)),
        ["taken by python3, and haproxy needs it", "`sudo ss -ltnp 'sport = :8404'`", "`cluster_haproxy_stats_port`"],
    ),
    "a port of nobody": (
        *("lb1", lambda host: taken(host, 8404, address=host.address)),
        ["Port 8404 of lb1 is taken by a program, and haproxy needs it"],
    ),
    "a fixed port": (
        *("mq1", lambda host: taken(host, 4369, "other", "other.service", address="127.0.0.1")),
        ["Port 4369 of mq1 is taken by other", "`sudo systemctl disable --now other.service`."],
    ),
    "the second port of a pair": (
        *("mon1", lambda host: taken(host, 9122, "mine")),
        ["Port 9122 of mon1 is taken by mine", "set `cluster_redis_exporter_port` to a free port"],
    ),
    "a port of another part": (
        *("mon1", lambda host: taken(host, 5555, "prometheus", "prometheus.service")),
        ["Port 5555 of mon1 is taken by prometheus", "flower needs it", "`cluster_flower_port`"],
    ),
    "a service of somebody else": (
        *("lb1", lambda host: somebodys(host, "haproxy.service", "/etc/haproxy/haproxy.cfg")),
        [
            "haproxy.service runs on lb1, and the kit has not configured it; haproxy would replace",
            "/etc/haproxy/haproxy.cfg",
            "`sudo systemctl disable --now haproxy.service`",
        ],
    ),
    "a Redis of somebody else": (
        *("mon1", lambda host: somebodys(host, "redis-server.service")),
        ["redis-server.service runs on mon1", "redis would stop it", "give redis another host"],
    ),
    "an instance of somebody else": (
        *("mon1", lambda host: somebodys(host, "redis-server@shop.service", "/etc/redis/redis-shop.conf")),
        ["redis-server@shop.service runs on mon1", "would replace /etc/redis/redis-shop.conf"],
    ),
    "a shared address elsewhere": (
        *("lb2", lambda host: with_address(host, "10.0.1.4", Address("eth0", "10.0.1.4", 24))),
        ["`cluster_vip` is 10.0.0.20, which lies in no network of lb2 (10.0.1.0/24)", "that lb1 and lb2 are in."],
    ),
    "a shared address that another host has": (
        *("w1", lambda host: host.addresses.append(Address("eth0", VIP, 32))),
        ["`cluster_vip` is 10.0.0.20, which w1 already has as an address of its own"],
    ),
    "a way in that would be closed": (
        *("w1", lambda host: changed(host, way_in=WayIn("192.0.2.9", 2222))),
        [
            "Ansible comes in to w1 from 192.0.2.9 at port 2222, which the firewall would close",
            "`{what: logins by SSH, port: 2222, clients: [192.0.2.9]}` to its `host_firewall_extra_ports`.",
        ],
    ),
    "logins from elsewhere only": (
        *("w1", lambda host: changed(host, firewall=[OpenPort("logins", "tcp", 22, ["10.0.0.0/24"])])),
        ["Ansible comes in to w1 from 192.0.2.9 at port 22, which the firewall would close"],
    ),
    "the right port of another protocol": (
        *("w1", lambda host: changed(host, firewall=[OpenPort("logins", "udp", 22, ["0.0.0.0/0"])])),
        ["at port 22, which the firewall would close"],
    ),
    "admins elsewhere": (
        *("mon1", lambda host: changed(host, way_in=WayIn("192.0.2.77", 22))),
        [
            "`cluster_admin_addresses` is 192.0.2.0/28, 2001:db8::/64, and you come in to mon1 from 192.0.2.77",
            "would keep you from Flower's page",
            "Add 192.0.2.77, or empty the list",
        ],
    ),
    "a broker of another cluster": (
        *("mq2", lambda host: changed(host, digests={host_rules.COOKIE: "0ther"})),
        ["mq2 belongs to another cluster", "take it out of `rabbitmq:`", "sudo rm -r /var/lib/rabbitmq`"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_once_with_what_to_type(hosts, case):
    name, change, words, *more = CASES[case]
    change(hosts[name])
    (sentence,) = wrong(hosts, **(more[0] if more else {}))
    found = [sentence.find(word) for word in words]
    assert -1 not in found and found == sorted(found), sentence


@pytest.mark.parametrize(
    ("more", "admins"),
    [
        ({"firewall": None, "way_in": WayIn("192.0.2.77", 2222)}, ["10.0.0.1"]),
        ({"way_in": None}, ["10.0.0.1"]),
        ({"way_in": WayIn("192.0.2.77", 22)}, []),
        ({"way_in": WayIn("2001:db8::7", 22)}, ["2001:db8::/64"]),
        ({"way_in": WayIn("192.0.2.7", 2222), "firewall": [OpenPort("", "tcp", 2222, ["192.0.2.0/24"])]}, []),
    ],
)
def test_a_firewall_keeps_no_operator_out(hosts, more, admins):
    """None where there is no firewall, where Ansible comes in otherwise, or where it is let in."""
    changed(hosts["mon1"], **more)
    assert wrong({"mon1": hosts["mon1"]}, admins=admins, vip="") == []


def test_all_that_is_wrong_with_all_hosts_is_said(hosts):
    hosts["w1"].release = hosts["mq1"].release = "bullseye"
    taken(hosts["lb1"], 5672, "nginx")
    assert [sentence.split()[0] for sentence in wrong(hosts)] == ["mq1", "Port", "w1"]


def test_what_an_interrupted_deployment_has_started_is_no_obstacle(hosts):
    """Debian starts HAProxy with its own configuration before the kit has written one."""
    hosts["lb1"].services = ["haproxy.service"]
    hosts["lb1"].files["/etc/haproxy/haproxy.cfg"] = File("root")
    assert wrong(hosts) == []


def test_a_postgresql_of_somebody_else_is_named_with_the_file_that_the_kit_would_write(hosts):
    host = made(9, "db1", ["host", "postgresql"])
    host.services = ["postgresql@13-old.service"]
    del host.files[host_rules.DEPLOYED]
    (sentence,) = wrong(hosts | {"db1": host})
    assert sentence.startswith("postgresql@13-old.service runs on db1")
    assert "replace /etc/postgresql/13/old/conf.d/warren.conf" in sentence


def test_a_service_that_another_ansible_has_configured_is_not_the_kits(hosts):
    """The kit has never been on the host."""
    del hosts["lb1"].files[host_rules.DEPLOYED]
    sentences = wrong(hosts)
    assert [sentence.split()[0] for sentence in sentences] == [
        "prometheus-node-exporter.service",
        "haproxy.service",
        "keepalived.service",
    ]


def test_a_loopback_is_left_to_the_rules_of_the_inventory(hosts):
    with_address(hosts["w1"], "127.0.0.1", Address("eth0", "10.0.0.5", 24))
    assert wrong(hosts) == []


def test_a_host_whose_addresses_are_not_known_is_let_through(hosts):
    """Before the first deployment it may lack the command `ip`."""
    hosts["lb1"].addresses = []
    assert wrong(hosts) == []


def test_the_host_that_holds_the_shared_address_may_have_it(hosts):
    hosts["lb2"].addresses.append(Address("eth0", VIP, 32))
    assert wrong(hosts) == []
    del hosts["lb2"].files[host_rules.DEPLOYED]
    hosts["lb2"].services = []
    (sentence,) = wrong(hosts)
    assert "which lb2 already has as an address of its own" in sentence


def test_somebody_who_answers_at_the_shared_address_is_said_before_the_first_deployment(hosts):
    hosts["lb1"].answered = True
    assert wrong(hosts) == []
    balancers = {name: fresh(hosts[name]) for name in ("lb1", "lb2")}
    (sentence,) = wrong(hosts | balancers)
    assert "somebody in the network of lb1, lb2 answers at it already: set it to a free address" in sentence
    # The other one, which may hold it, is not in the run.
    assert wrong({"lb1": hosts["lb1"]}) == []


def test_lost_secrets_are_said_once_for_all_brokers(hosts):
    (sentence,) = wrong(hosts, cookies=["new"])
    assert sentence.startswith("These are not the secrets that mq1, mq2 were deployed with: `secret_erlang_cookie`, ")
    assert (
        "Correct `cluster_environment`" in sentence and "docs/runbook.md says under 'The secrets are lost'" in sentence
    )


def test_brokers_may_still_have_a_former_cookie(hosts):
    """A rotation that was killed has reached some."""
    hosts["mq1"].digests[host_rules.COOKIE] = "new"
    assert wrong(hosts, cookies=["new", "c00"]) == []


def test_the_cookie_that_debian_has_made_is_no_sign_of_lost_secrets(hosts):
    """After a first deployment that ended between the package and the kit's files."""
    for name in ("mq1", "mq2"):
        del hosts[name].files[host_rules.COOKIE_IS_OURS]
    assert wrong(hosts, cookies=["new"]) == []


def test_the_table_of_ports_names_what_the_kit_has(hosts):
    """Parts of parts.yml, variables that somebody defines, and no port twice on a host and address."""
    roles = {part["role"] for part in kit.PARTS}
    known = kit.kit_variables().keys()
    for row in KIT_PORTS["kit_ports"]:
        assert {row["role"], row.get("beside", row["role"])} <= roles, row
        assert ("input" in row) != ("port" in row), row
        assert {row[key] for key in ("input", "address", "given") if key in row} <= known, row
        assert row["what"] and row["programs"] and row["clients"], row
    for row in KIT_PORTS["kit_services"]:
        assert row["role"] in roles and row.get("file", "").count("*") == row["service"].count("*") * ("file" in row)
    for host in hosts.values():
        claimed = [(claim.port, address) for claim in host.claims for address in claim.addresses or ["all"]]
        assert len(claimed) == len(set(claimed)), host.name


def test_preflight_reads_what_the_rules_ask_for():
    text = (kit.PROJECT / "playbooks/preflight.yml").read_text()
    blocks = [task.get("block", [task]) for play in yaml.safe_load(text) for task in play.get("tasks", [])]
    (task,) = [task for block in blocks for task in block if "read_host" in task]
    assert task["read_host"]["fresh"] == [host_rules.DEPLOYED]
    assert host_rules.COOKIE in task["read_host"]["digests"]
