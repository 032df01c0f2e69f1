"""Print what a host has left, as JSON.

Usage: python3 - [FOLDER ...]

    time -- seconds since the epoch
    inodes_used, space_used -- the largest shares of the folders' file systems, from 0 to 1, each with its folder
    conntrack_used -- share of the table of tracked connections, or null where the kernel tracks none
    kernel_wrong -- lines of /etc/sysctl.d/60-warren.conf that the kernel does not have, as "NAME is VALUE, not VALUE"
"""

import json
import os
import sys
import time
from pathlib import Path

SETTINGS = Path("/etc/sysctl.d/60-warren.conf")
CONNTRACK = Path("/proc/sys/net/netfilter")


def shares(folders):
    """Return the shares of inodes and of space that are used, as (share, folder)."""
    found = [(folder, os.statvfs(folder)) for folder in folders if Path(folder).exists()]
    inodes = [(1 - stat.f_favail / stat.f_files, folder) for folder, stat in found if stat.f_files]
    space = [(1 - stat.f_bavail / stat.f_blocks, folder) for folder, stat in found if stat.f_blocks]
    return max(inodes, default=(0, "/")), max(space, default=(0, "/"))


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


if __name__ == "__main__":
    inodes_used, space_used = shares(sys.argv[1:])
    print(
        json.dumps(
            {
                "time": time.time(),
                "inodes_used": inodes_used,
                "space_used": space_used,
                "conntrack_used": conntrack(),
                "kernel_wrong": kernel(),
            }
        )
    )
