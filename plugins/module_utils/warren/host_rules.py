"""What is wrong with hosts, by what they answered to the module read_host: for the action plugin check_hosts.

Each sentence says which host, which input and value, why, and what to type. Nothing here knows Ansible.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_network
from typing import Any

# Written on every host, before anything else of the kit.
DEPLOYED = "/etc/sysctl.d/60-warren.conf"
# What the project's user owns, since the first deployment, and what the site's. The folder around is each one's home.
PROJECT_HOME, SITE_HOME = "/var/lib/celery/home", "/var/lib/celery/web/home"
# The log of all quorum queues of a broker, as roles/rabbitmq/templates/rabbitmq.conf.j2 has it. RabbitMQ's guide wants
# three times its size: https://www.rabbitmq.com/docs/quorum-queues#resource-use.
WAL_BYTES = 64_000_000
# Debian's RabbitMQ has a random cookie after its first start. Beside this command it is the kit's.
COOKIE, COOKIE_IS_OURS = "/var/lib/rabbitmq/.erlang.cookie", "/usr/local/sbin/rabbitmq-status"
# The role celery_app writes it for each project; a folder without it is somebody else's.
PROJECTS = "/opt/celery/*/check_app.py"
ZONES = "/usr/share/zoneinfo"
NO_LOGIN = {"nologin", "false"}
ALL = {"0.0.0.0", "::"}


@dataclass
class Address:
    interface: str
    address: str
    prefix: int

    @property
    def network(self) -> IPv4Interface:
        return IPv4Interface(f"{self.address}/{self.prefix}")


@dataclass
class Listener:
    address: str
    port: int
    programs: list[str]


@dataclass
class User:
    home: str
    shell: str


@dataclass
class File:
    owner: str


@dataclass(frozen=True)
class Claim:
    """A port that a part listens on, as `kit_ports` of inventory/kit/ports.yml says; `addresses` are empty for all.

    `clients` are names of `kit_port_clients`.
    """

    role: str
    what: str
    port: int
    programs: tuple[str, ...]
    input: str = ""
    addresses: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def collides(self, other: "Claim") -> bool:
        """Return whether another claim is for the same port at the same address."""
        one, two = set(self.addresses), set(other.addresses)
        return self.port == other.port and (not one or not two or bool(one & two))


@dataclass
class WayIn:
    """How Ansible came in to a host by SSH: from where, and at which port."""

    address: str
    port: int


@dataclass
class OpenPort:
    """A port that a host's firewall leaves open, as the role host takes it."""

    what: str
    protocol: str
    port: int
    clients: list[str]

    def has(self, address: str) -> bool:
        """Return whether an address is one of its clients."""
        return any(ip_address(address) in ip_network(network) for network in self.clients)


@dataclass
class Service:
    """A service that a part takes over, as `kit_services` says."""

    role: str
    service: str
    file: str = ""


@dataclass
class Host:
    """A host of the inventory, and what it answered.

    :param address: the inventory's.
    :param parts: the roles that it has.
    :param takes_python: whether the project runs with the host's Python, `python_version`.
    :param time_zone: the inventory's.
    :param firewall: what its firewall shall leave open, None where it has none.
    :param way_in: how Ansible came in; None where it was not by SSH.
    """

    name: str
    address: str
    parts: list[str]
    claims: list[Claim]
    taken: list[Service]
    release: str
    distribution: str
    architecture: str
    python_version: str
    takes_python: bool
    time_zone: str
    firewall: list[OpenPort] | None
    way_in: WayIn | None
    memory_bytes: int
    addresses: list[Address]
    listening: list[Listener]
    services: list[str]
    users: dict[str, User]
    files: dict[str, File]
    digests: dict[str, str]
    answered: bool

    @property
    def deployed(self) -> bool:
        """Whether the kit has deployed it before."""
        return DEPLOYED in self.files

    @property
    def has_project(self) -> bool:
        return "celery_app" in self.parts

    @property
    def projects(self) -> list[str]:
        """The names of the projects that were deployed there."""
        before, _, after = PROJECTS.partition("*")
        names = [path.removeprefix(before).removesuffix(after) for path in self.files if fnmatchcase(path, PROJECTS)]
        return sorted(names)


@dataclass
class Wanted:
    """What is the same for all hosts.

    :param releases: Debian releases for all hosts; `mirroring_releases`, those whose RabbitMQ mirrors queues.
    :param queue_type: `mirrored` or `quorum`.
    :param c_publisher: whether the release has librabbitmq-fork, which exists for some architectures.
    :param default_python: whether the project runs with the hosts' own Python; `python_wanted` is what it takes.
    :param cookies: the digest of the Erlang cookie, and those of the ones that it was before.
    :param vip: the shared address, empty where there is none.
    :param carriers: the names of the hosts that may hold it.
    :param admins: addresses and networks of operators.
    """

    releases: list[str]
    mirroring_releases: list[str]
    queue_type: str
    app_name: str
    app_user: str
    web_user: str
    default_python: bool
    python_wanted: str
    c_publisher: bool
    c_publisher_architectures: list[str]
    vip: str
    carriers: list[str]
    cookies: list[str]
    secrets_dir: str
    admins: list[str]


def claims_of(ports: Iterable[dict], parts: list[str], value: Callable[[str], Any]) -> list[Claim]:
    """Return what the parts of a host claim of `kit_ports`.

    :param value: returns the value that a variable has for the host.
    """
    return [
        Claim(
            role=port["role"],
            what=port["what"],
            port=int(value(port["input"])) + port.get("plus", 0) if "input" in port else port["port"],
            programs=tuple(port["programs"]),
            input=port.get("input", ""),
            addresses=tuple(filter(None, map(str, _list(value(port["address"]))))) if "address" in port else (),
            clients=tuple(port["clients"]),
        )
        for port in _of(ports, parts, value)
    ]


def services_of(services: Iterable[dict], parts: list[str], value: Callable[[str], Any]) -> list[Service]:
    """Return what the parts of a host take of `kit_services`; `value` as above."""
    return [Service(one["role"], one["service"], one.get("file", "")) for one in _of(services, parts, value)]


def _of(table: Iterable[dict], parts: list[str], value: Callable[[str], Any]) -> Iterator[dict]:
    for row in table:
        if (
            row["role"] in parts
            and row.get("beside", row["role"]) in parts
            and ("given" not in row or value(row["given"]))
        ):
            yield row


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def files_to_read(services: Iterable[dict], time_zone: str) -> list[str]:
    """Return the files that the rules ask for, for the module read_host; `services` is `kit_services`."""
    own = [DEPLOYED, PROJECTS, PROJECT_HOME, SITE_HOME, COOKIE_IS_OURS, ZONES, f"{ZONES}/{time_zone}"]
    return own + [service["file"] for service in services if "file" in service]


def supported_release(host: Host, wanted: Wanted) -> Iterator[str]:
    if host.release not in wanted.releases:
        yield (
            f"{host.name} runs {host.distribution} {host.release}, and the kit knows Debian 12 (bookworm) and 13 "
            "(trixie): install one of them on it, or take it out of the inventory."
        )
    elif _is_broker(host) and wanted.queue_type == "mirrored" and host.release not in wanted.mirroring_releases:
        yield (
            f"{host.name} runs {host.distribution} {host.release}, whose RabbitMQ mirrors no queues, as only Debian 12 "
            "(bookworm) has RabbitMQ 3: for a new cluster, set `cluster_queue_type: quorum`; for one that has tasks, "
            "install Debian 12 on the host."
        )


def memory_for_quorum_queues(host: Host, wanted: Wanted) -> Iterator[str]:
    least = 3 * WAL_BYTES
    if _is_broker(host) and wanted.queue_type == "quorum" and host.memory_bytes < least:
        yield (
            f"{host.name} has {host.memory_bytes // 1000**2} MB of memory, and a broker with quorum queues needs "
            f"{least // 1000**2} MB for their log alone: give it more, or take it out of `rabbitmq:`."
        )


def _is_broker(host: Host) -> bool:
    return "rabbitmq" in host.parts


def release_for_its_architecture(host: Host, wanted: Wanted) -> Iterator[str]:
    if host.has_project and wanted.c_publisher and host.architecture not in wanted.c_publisher_architectures:
        yield (
            f"{host.name} is {host.architecture}, but librabbitmq-fork exists for no other than "
            f"{', '.join(wanted.c_publisher_architectures)}, and a release is the same for all hosts: set "
            "`cluster_c_publisher: false` for every host."
        )


def one_project(host: Host, wanted: Wanted) -> Iterator[str]:
    others = [name for name in host.projects if name != wanted.app_name] if host.has_project else []
    if others:
        yield (
            f"{host.name} runs the project {', '.join(others)}, and {wanted.app_name} would take its place, as "
            "supervisord's entries and logs have one project. Give this one hosts of its own. To replace the other "
            f"one for good, first type there `sudo supervisorctl stop all; sudo rm -r /opt/celery/{others[0]}`."
        )


def python_of_the_project(host: Host, wanted: Wanted) -> Iterator[str]:
    if host.has_project and wanted.default_python and not host.takes_python:
        yield (
            f"The project wants Python {wanted.python_wanted}, and {host.name} has {host.python_version}: correct that "
            "in the project, or install another Python on all hosts of the project and set `celery_app_python` to its "
            "path."
        )


def user_of_the_project(host: Host, wanted: Wanted) -> Iterator[str]:
    if host.has_project:
        yield from _unfit_user(host, wanted.app_user, "project's programs", "cluster_app_user", PROJECT_HOME)


def user_of_the_site(host: Host, wanted: Wanted) -> Iterator[str]:
    if "web" in host.parts and wanted.web_user != wanted.app_user:
        yield from _unfit_user(host, wanted.web_user, "site", "cluster_web_user", SITE_HOME)


def _unfit_user(host: Host, user: str, who: str, name: str, home: str) -> Iterator[str]:
    """Say why a user cannot run something.

    :param who: what it runs; `name` is the input.
    :param home: the folder that the user owns, in the one that Debian has as the user's home.
    """
    left, about = host.files.get(home), host.users.get(user)
    if left and left.owner != user:
        stop = "all" if name == "cluster_app_user" else "web"
        yield (
            f"The {who} would run as {user} on {host.name}, and could not write {home}, which "
            f"belongs to {left.owner or 'nobody'}: set `{name}` to that user again. To change it, first "
            f"type there `sudo supervisorctl stop {stop}; sudo useradd --system --user-group {user}; sudo chown "
            f"--recursive {user}: {home}`."
        )
    elif about and not left and not _is_for_programs(about, home):
        yield (
            f"{host.name} has a user {user} already, who is somebody's own (home {about.home}, shell "
            f"{about.shell}), and the {who} would run as this user, with another home and no login: "
            f"set `{name}` to a name that no host has."
        )


def _is_for_programs(user: User, home: str) -> bool:
    return user.home == home.removesuffix("/home") and user.shell.rpartition("/")[2] in NO_LOGIN


def own_address(host: Host, wanted: Wanted) -> Iterator[str]:
    """The services bind to it. A loopback is for the rules of the inventory."""
    if IPv4Address(host.address).is_loopback or not host.addresses:
        return
    if host.address in [one.address for one in host.addresses]:
        return
    own = [one for one in host.addresses if not one.network.is_loopback and one.address != wanted.vip]
    listed = ", ".join(f"{one.address} on {one.interface}" for one in own) or "none"
    yield (
        f"{host.name} has the address {host.address} in the inventory, which is none of its own ({listed}), as behind "
        "a NAT, and its services could not listen there: set for this host `cluster_address: "
        f"{own[0].address if own else 'ADDRESS'}`, an address at which the other hosts reach it."
    )


def free_ports(host: Host, wanted: Wanted) -> Iterator[str]:
    for claim in host.claims:
        holders = [one for one in host.listening if _collide(claim, one) and not _may_have(claim, one.programs)]
        if holders:
            yield _about_port(host, claim, holders[0].programs)


def _collide(claim: Claim, listener: Listener) -> bool:
    if claim.port != listener.port:
        return False
    everywhere = not claim.addresses or ALL.intersection(claim.addresses) or listener.address in ALL
    return bool(everywhere) or listener.address in claim.addresses


def _may_have(claim: Claim, programs: list[str]) -> bool:
    return any(fnmatchcase(program, pattern) for program in programs for pattern in claim.programs)


def _about_port(host: Host, claim: Claim, programs: list[str]) -> str:
    services = [name for name in programs if name.endswith(".service")]
    stop = (
        f"stop it there with `sudo systemctl disable --now {services[0]}`"
        if services
        else f"end it there; `sudo ss -ltnp 'sport = :{claim.port}'` shows it"
    )
    change = f", or set `{claim.input}` to a free port" if claim.input else ""
    return (
        f"Port {claim.port} of {host.name} is taken by {' / '.join(programs) or 'a program'}, and {claim.role} needs "
        f"it for {claim.what}: {stop}{change}."
    )


def services_of_somebody_else(host: Host, wanted: Wanted) -> Iterator[str]:
    """Before the first deployment only: Debian starts what a deployment installs, and one may have been interrupted."""
    for service in [] if host.deployed else host.taken:
        for name in host.services:
            file = _file_of(service, name)
            if file is not None:
                yield (
                    f"{name} runs on {host.name}, and the kit has not configured it; {service.role} would "
                    + (f"replace {file}" if file else "stop it")
                    + f". If it is needed, give {service.role} another host in the inventory; if not, type there "
                    f"`sudo systemctl disable --now {name}`, and run this again."
                )


def _file_of(service: Service, name: str) -> str | None:
    """Return the file of a service that is the kit's, empty where it has none; None for the name of another service."""
    match = re.fullmatch(re.escape(service.service).replace(r"\*", "(.+?)"), name)
    if not match:
        return None
    file = service.file
    for part in match.groups():
        file = file.replace("*", part, 1)
    return file


def way_in_stays_open(host: Host, wanted: Wanted) -> Iterator[str]:
    """A timer would open it again, but nobody shall need it."""
    if host.firewall is None or host.way_in is None:
        return
    came, logins = host.way_in, [one for one in host.firewall if one.port == host.way_in.port and one.protocol == "tcp"]
    if not any(one.has(came.address) for one in logins):
        yield (
            f"Ansible comes in to {host.name} from {came.address} at port {came.port}, which the firewall would close: "
            f"add `{{what: logins by SSH, port: {came.port}, clients: [{came.address}]}}` to its "
            "`host_firewall_extra_ports`."
        )


def admins_reach_their_pages(host: Host, wanted: Wanted) -> Iterator[str]:
    """Whoever deploys is an operator. Without admins, pages are opened by way of the hosts."""
    pages = [claim for claim in host.claims if "admins" in claim.clients]
    if host.firewall is None or host.way_in is None or not wanted.admins or not pages:
        return
    if not OpenPort("", "tcp", 0, wanted.admins).has(host.way_in.address):
        yield (
            f"`cluster_admin_addresses` is {', '.join(wanted.admins)}, and you come in to {host.name} from "
            f"{host.way_in.address}: its firewall would keep you from {pages[0].what}. Add {host.way_in.address}, or "
            "empty the list to open pages by way of a host, as with `ssh -L`."
        )


EACH: list[Callable[[Host, Wanted], Iterator[str]]] = [
    supported_release,
    memory_for_quorum_queues,
    release_for_its_architecture,
    one_project,
    python_of_the_project,
    user_of_the_project,
    user_of_the_site,
    own_address,
    free_ports,
    services_of_somebody_else,
    way_in_stays_open,
    admins_reach_their_pages,
]


def time_zone(hosts: list[Host], wanted: Wanted) -> Iterator[str]:
    """The package tzdata has all zones; a fresh host may lack it."""
    lost: dict[str, list[Host]] = {}
    for host in hosts:
        if ZONES in host.files and f"{ZONES}/{host.time_zone}" not in host.files:
            lost.setdefault(host.time_zone, []).append(host)
    for zone, where in lost.items():
        yield (
            f"There is no time zone {zone} on {_names(where)}: set `host_timezone` to one that `timedatectl "
            "list-timezones` shows there, such as Europe/Berlin."
        )


def shared_address(hosts: list[Host], wanted: Wanted) -> Iterator[str]:
    if not wanted.vip:
        return
    vip = f"`cluster_vip` is {wanted.vip}"
    carriers = [host for host in hosts if host.name in wanted.carriers]
    for host in carriers:
        # Some clouds give each host a network of its own.
        networks = [one.network.network for one in host.addresses if one.prefix < 32 and not one.network.is_loopback]
        if networks and not any(IPv4Address(wanted.vip) in network for network in networks):
            yield (
                f"{vip}, which lies in no network of {host.name} ({', '.join(map(str, networks))}), so nobody could "
                f"reach it there: set it to a free address of a network that {' and '.join(wanted.carriers)} are in."
            )
    # Where the kit was, it is keepalived that holds it.
    holders = [
        host.name
        for host in hosts
        if wanted.vip in [one.address for one in host.addresses] and not (host in carriers and host.deployed)
    ]
    if holders:
        yield f"{vip}, which {' and '.join(holders)} already has as an address of its own: set it to a free address."
    # One that is not in this run may hold it.
    elif len(carriers) == len(wanted.carriers) and _answers_before(carriers):
        yield (
            f"{vip}, and somebody in the network of {_names(carriers)} answers at it already: set it to a free "
            "address, or switch off whoever has it."
        )


def _answers_before(carriers: list[Host]) -> bool:
    return any(host.answered for host in carriers) and not any(host.deployed for host in carriers)


def _names(hosts: list[Host]) -> str:
    return ", ".join(host.name for host in hosts)


def cookies(hosts: list[Host], wanted: Wanted) -> Iterator[str]:
    brokers = [host for host in hosts if _is_broker(host) and COOKIE_IS_OURS in host.files]
    others = [host for host in brokers if host.digests.get(COOKIE, wanted.cookies[0]) not in wanted.cookies]
    if not others:
        return
    anew = (
        "type there `sudo systemctl stop rabbitmq-watchdog.timer rabbitmq-server; sudo rm -r /var/lib/rabbitmq`, which "
        "deletes its queues"
    )
    if len(others) < len(brokers):
        yield (
            f"{_names(others)} belongs to another cluster, as its Erlang cookie is not that of the other brokers: take "
            f"it out of `rabbitmq:`, or, if nobody needs its queues, {anew}."
        )
        return
    yield (
        f"These are not the secrets that {_names(others)} {'were' if others[1:] else 'was'} deployed with: "
        f"`secret_erlang_cookie`, which {wanted.secrets_dir}/erlang_cookie holds unless you set it, is not the Erlang "
        "cookie there, and brokers with two cookies never find each other. Correct `cluster_environment`, or put the "
        "folder of the first deployment back from your backup; without one, docs/runbook.md says under 'The secrets "
        f"are lost' where each one is on the hosts. If the brokers shall begin anew instead, {anew}."
    )


def one_release_of_brokers(hosts: list[Host], wanted: Wanted) -> Iterator[str]:
    brokers = {host.name: host.release for host in hosts if _is_broker(host) and host.release in wanted.releases}
    # Otherwise each of the others has a sentence already.
    if wanted.queue_type == "quorum" and len(set(brokers.values())) > 1:
        yield (
            f"The brokers run different releases ({', '.join(f'{host}: {name}' for host, name in brokers.items())}), "
            "and RabbitMQ cannot be upgraded from Debian 12's to 13's, nor be in one cluster with it: install the same "
            "release on all hosts below `rabbitmq:`."
        )


TOGETHER: list[Callable[[list[Host], Wanted], Iterator[str]]] = [
    cookies,
    one_release_of_brokers,
    shared_address,
    time_zone,
]


def wrong_hosts(hosts: list[Host], wanted: Wanted) -> list[str]:
    """Return a sentence for each thing that is wrong, of all hosts."""
    said = [sentence for rule in TOGETHER for sentence in rule(hosts, wanted)]
    return said + [sentence for host in hosts for rule in EACH for sentence in rule(host, wanted)]
