"""Ansible's module read_host."""

import hashlib
import json
import os
import pwd
import re
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.facts import ansible_collector, default_collectors
from ansible.module_utils.facts.namespace import PrefixFactNamespace

DOCUMENTATION = """
module: read_host
short_description: Read what a host is, and what it has that the kit could collide with, in one execution
description:
  - Reads facts as M(ansible.builtin.setup) does, addresses, the programs that listen, the services that run, and some
    users and files. Runs as root, as only root sees whose a socket is.
  - Changes nothing.
options:
  facts:
    description: Subsets of Ansible's facts; the least that there are come with them only where they are needed.
    type: list
    elements: str
    default: []
  fact_path:
    description: The folder of the host's local facts, as for M(ansible.builtin.setup).
    type: path
    default: /etc/ansible/facts.d
  users:
    description: Names of users.
    type: list
    elements: str
    default: []
  files:
    description: Absolute paths of files and folders, perhaps with wildcards.
    type: list
    elements: str
    default: []
  digests:
    description: Absolute paths of files with a long random secret, of which only a digest leaves the host.
    type: list
    elements: path
    default: []
  neighbour:
    description: An IPv4 address in a network of the host; read is whether somebody answers at it.
    type: str
    default: ""
  fresh:
    description: Paths of which none exists before the kit's first deployment; C(neighbour) is only asked then.
    type: list
    elements: path
    default: []
author: [Warren]
"""

EXAMPLES = """
- read_host:
    users: [shop]
    files: [/etc/haproxy/haproxy.cfg, /etc/redis/redis-*.conf]
    digests: [/var/lib/rabbitmq/.erlang.cookie]
  register: host
"""

RETURN = """
ansible_facts:
  description: The facts of the subsets, and those that they need.
  type: dict
  returned: always
addresses:
  description:
    - The IPv4 addresses, each with C(interface), C(address) and C(prefix), the length of its network's. None where the
      command C(ip) is missing, as it may be before the kit's first deployment.
  type: list
  returned: always
listening:
  description:
    - The TCP sockets that take connections, each with C(address), C(port) and C(programs), the names of the processes
      that have it and of their systemd services.
  type: list
  returned: always
services:
  description: The systemd services that have a process.
  type: list
  returned: always
users:
  description: Those of the users that exist, by name, each with C(home) and C(shell).
  type: dict
  returned: always
files:
  description:
    - Those of the files that exist, by path, each with C(owner), which is empty for a user without a name.
  type: dict
  returned: always
digests:
  description: The SHA-256 of those of the files that exist, by path.
  type: dict
  returned: always
way_in:
  description:
    - How Ansible came in by SSH, the C(address) that it came from and the C(port) at which it arrived; empty where it
      came in by another way.
  type: dict
  returned: always
memory_bytes:
  description: The memory of the host.
  type: int
  returned: always
answered:
  description: Whether somebody answers at the neighbour's address; false where nobody was asked.
  type: bool
  returned: always
"""

# As the kernel writes them: the state of a socket, and the flag of a neighbour who has answered.
LISTENS = "0A"
COMPLETE = 0x2
# A line of /proc/PID/cgroup; with other versions of control groups there are more lines, which do not say it.
GROUP = re.compile(r"^\d+:(?:name=systemd)?:(.*)$", re.MULTILINE)
SERVICE = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)")
NEIGHBOUR_SECONDS = 0.5


def addresses(shown):
    """Return the addresses of what `ip -json -4 address` has shown."""
    return [
        {"interface": link["ifname"], "address": address["local"], "prefix": address["prefixlen"]}
        for link in shown
        for address in link.get("addr_info", [])
    ]


def listeners(table):
    """Return a dict of inode to address and port of each socket that takes connections.

    :param table: what is in /proc/net/tcp or tcp6.
    """
    found = {}
    for line in table.splitlines()[1:]:
        _, local, _, state, *rest = line.split()
        if state == LISTENS:
            address, _, port = local.partition(":")
            found[rest[5]] = {"address": readable(address), "port": int(port, 16)}
    return found


def readable(address):
    """Return an address as people write it; one of IPv4 within IPv6 as one of IPv4.

    :param address: as in /proc/net/tcp6, words of 32 bits in the processor's order.
    """
    packed = b"".join(struct.pack("=I", int(address[place : place + 8], 16)) for place in range(0, len(address), 8))
    text = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    return text.removeprefix("::ffff:")


def group_of(process):
    """Return the control group of a process's systemd unit, such as /system.slice/ssh.service.

    :raises OSError: when the process has ended.
    """
    return max(GROUP.findall(process.joinpath("cgroup").read_text()), key=len, default="")


def processes(proc, sockets):
    """Return the systemd services that have a process, and for each of the sockets the names of who has it.

    :param proc: the folder /proc.
    :param sockets: inodes, as texts.
    """
    # Those of containers are below groups of their own.
    top = group_of(proc / "1").removesuffix("/init.scope")
    services, holders = set(), {inode: set() for inode in sockets}
    for process in proc.iterdir():
        if process.name.isdigit():
            # It may end meanwhile.
            with suppress(OSError):
                found = SERVICE.match(group_of(process).removeprefix(top))
                units = {found[1]} if found else set()
                services |= units
                for inode in held(process, holders):
                    holders[inode] |= {process.joinpath("comm").read_text().strip()} | units
    return services, holders


def held(process, sockets):
    """Return those of the sockets that a process has."""
    links = []
    for file in process.joinpath("fd").iterdir():
        with suppress(OSError):
            links.append(str(file.readlink()))
    return {link[8:-1] for link in links if link.startswith("socket:[")} & sockets.keys()


def about_user(name):
    """Return a user's home and shell; None for one that is not there."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"home": user.pw_dir, "shell": user.pw_shell}


def about_file(path):
    """Return whose a file is."""
    owner = ""
    with suppress(KeyError):
        owner = pwd.getpwuid(path.stat().st_uid).pw_name
    return {"owner": owner}


def answers(address, table=Path("/proc/net/arp")):
    """Return whether somebody in a network of this host has an address, as the kernel learns when it sends there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        # The discard port; the datagram itself may get lost.
        probe.sendto(b"", (address, 9))
    end = time.monotonic() + NEIGHBOUR_SECONDS
    while time.monotonic() < end:
        if has_answered(address, table.read_text()):
            return True
        time.sleep(0.05)
    return False


def has_answered(address, table):
    """Return whether the kernel's table of neighbours, /proc/net/arp, has an address with an answer."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return any(row[0] == address and int(row[2], 16) & COMPLETE for row in rows)


def facts(module, subsets):
    """Return Ansible's facts, as its own module setup collects them; none without subsets."""
    if not subsets:
        return {}
    collector = ansible_collector.get_ansible_collector(
        all_collector_classes=default_collectors.collectors,
        namespace=PrefixFactNamespace(namespace_name="ansible", prefix="ansible_"),
        gather_subset=["!all", "!min", *subsets],
        gather_timeout=10,
    )
    return collector.collect(module=module)


def way_in(proc, pid):
    """Return how the connection of SSH began in which a process runs: its client's address and the server's port.

    sudo takes the variable from its children, so the processes above are asked, too.

    :param proc: the folder /proc.
    """
    with suppress(OSError):
        while pid > 1:
            for variable in proc.joinpath(str(pid), "environ").read_bytes().split(b"\0"):
                if variable.startswith(b"SSH_CONNECTION="):
                    address, _, _, port = variable.decode().partition("=")[2].split()
                    return {"address": address, "port": int(port)}
            # The name before it, in brackets, may have anything in it.
            pid = int(proc.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    return {}


def main():
    """Read the host."""
    texts, paths = ({"type": "list", "elements": kind, "default": []} for kind in ("str", "path"))
    module = AnsibleModule(
        argument_spec={
            "facts": texts,
            # What Ansible's collector of local facts asks for.
            "fact_path": {"type": "path", "default": "/etc/ansible/facts.d"},
            "users": texts,
            "files": texts,
            "digests": paths,
            "neighbour": {"type": "str", "default": ""},
            "fresh": paths,
        },
        supports_check_mode=True,
    )
    given = module.params
    ip = module.get_bin_path("ip")
    shown = json.loads(module.run_command([ip, "-json", "-4", "address"], check_rc=True)[1]) if ip else []
    sockets = {}
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            sockets |= listeners(Path("/proc/net", name).read_text())
    services, holders = processes(Path("/proc"), sockets)
    users = {name: about_user(name) for name in given["users"]}
    files = sorted(path for pattern in given["files"] for path in Path("/").glob(pattern.lstrip("/")))
    digests = [Path(path) for path in given["digests"] if Path(path).is_file()]
    fresh = not any(Path(path).exists() for path in given["fresh"])
    module.exit_json(
        changed=False,
        ansible_facts=facts(module, given["facts"]),
        addresses=addresses(shown),
        listening=[sockets[inode] | {"programs": sorted(holders[inode])} for inode in sockets],
        services=sorted(services),
        users={name: about for name, about in users.items() if about},
        files={str(path): about_file(path) for path in files},
        digests={str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in digests},
        way_in=way_in(Path("/proc"), os.getpid()),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        answered=bool(given["neighbour"] and fresh and answers(given["neighbour"])),
    )


if __name__ == "__main__":
    main()
