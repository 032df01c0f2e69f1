"""Print what a host has left, as JSON.

Usage: python3 - [HOST ...]

    time -- seconds since the epoch
    inodes_used -- the largest share of the file systems, from 0 to 1, and its folder
    conntrack_used -- share of the table of tracked connections, or null where the kernel tracks none
    kernel_wrong -- lines of /etc/sysctl.d/60-warren.conf that the kernel does not have, as "NAME is VALUE, not VALUE"
    firewall -- `off`, `as deployed`, or `changed`, where the kernel has other rules than the last run has left
    unconfined -- services that run without the sandbox which the kit has written for them
    unresolved -- those of the given hosts whose names have no address here
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = Path("/etc/sysctl.d/60-warren.conf")
CONNTRACK = Path("/proc/sys/net/netfilter")
FIREWALL = Path("/etc/warren/firewall.nft")
LIST = "nft --stateless list table inet warren"
UNITS = Path("/etc/systemd/system")
FOLDERS = ["/", "/tmp", "/var/lib", "/var/log"]


def inodes(folders):
    """Return the largest share of inodes that is used, and its folder."""
    found = [(os.statvfs(folder), folder) for folder in folders if Path(folder).exists()]
    return max(((1 - stat.f_favail / stat.f_files, folder) for stat, folder in found if stat.f_files), default=(0, "/"))


def conntrack():
    """Return the share of the table that is used."""
    try:
        used, limit = (int(CONNTRACK.joinpath(f"nf_conntrack_{name}").read_text()) for name in ("count", "max"))
    except OSError:
        return None
    return used / limit


def kernel():
    """Return what differs from the settings that the host was given."""
    lines = SETTINGS.read_text().splitlines() if SETTINGS.exists() else []
    wanted = [line.split(" = ") for line in lines if " = " in line]
    now = {name: Path("/proc/sys", *name.split(".")).read_text().strip() for name, _ in wanted}
    return [f"{name} is {now[name]}, not {value}" for name, value in wanted if now[name] != value]


def firewall():
    """Compare the firewall's rules with what the kernel makes of the file, in a network of its own."""
    if not FIREWALL.exists():
        return "off"
    said = [
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        for command in (LIST, f"unshare --net sh -c 'nft --file {FIREWALL} && {LIST}'")
    ]
    now, wanted = (one.stdout for one in said)
    return "as deployed" if now and now == wanted else "changed"


def unconfined():
    """Return the services that were started before they had a sandbox; the kernel says whether a process has one."""
    names = [file.parent.name.removesuffix(".d") for file in sorted(UNITS.glob("*.service.d/sandbox.conf"))]
    show = ["systemctl", "show", "--property=Id,MainPID", *(name.replace("@.", "@*.") for name in names)]
    said = subprocess.run(show, capture_output=True, text=True, check=False).stdout if names else ""
    found = [dict(line.split("=", 1) for line in unit.splitlines()) for unit in said.split("\n\n")]
    return [unit["Id"] for unit in found if unit.get("MainPID", "0") != "0" and not is_confined(unit["MainPID"])]


def is_confined(pid):
    """Return whether a process can get no new rights; so can none that has ended."""
    try:
        return "NoNewPrivs:\t1" in Path("/proc", pid, "status").read_text()
    except OSError:
        return True


def resolves(host):
    """Return whether a name has an address."""
    try:
        return bool(socket.getaddrinfo(host, None, socket.AF_INET))
    except OSError:
        return False


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "time": time.time(),
                "inodes_used": inodes(FOLDERS),
                "conntrack_used": conntrack(),
                "kernel_wrong": kernel(),
                "firewall": firewall(),
                "unconfined": unconfined(),
                "unresolved": [host for host in sys.argv[1:] if not resolves(host)],
            }
        )
    )
