"""Print whether keepalived runs, and whether this host has the shared address, as JSON.

Usage: python3 - ADDRESS

    state -- as systemd says, such as `active`
    holds_address -- whether an interface has the address
"""

import json
import subprocess
import sys


def printed(*command, check):
    """Return what a command prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check).stdout.strip()


if __name__ == "__main__":
    # systemctl ends with 3 where it does not run. An interface without the address is an empty object.
    links = json.loads(printed("ip", "-json", "-4", "address", "show", "to", sys.argv[1], check=True) or "[]")
    print(
        json.dumps(
            {
                "state": printed("systemctl", "is-active", "keepalived", check=False),
                "holds_address": any(link.get("addr_info") for link in links),
            }
        )
    )
