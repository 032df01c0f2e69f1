"""Print what the Redis instances of this host say of themselves, as JSON: a dict for each instance.

Usage: python3 - INSTANCES      (as root)

INSTANCES is a JSON object, the port of each instance by its name. An instance has

    port -- as given
    error -- why nothing else is known, or null
    version, memory_bytes, memory_limit_bytes, clients, uptime_seconds -- null where it does not say; 0 is no limit
    eviction_policy -- what it evicts when its memory is full, such as `noeviction`; null where it does not say
    databases -- for each database that has keys, by its number, how many `keys` it has and how many of them `expire`
"""

import json
import re
import subprocess
import sys

NUMBERS = {
    "memory_bytes": "used_memory",
    "memory_limit_bytes": "maxmemory",
    "clients": "connected_clients",
    "uptime_seconds": "uptime_in_seconds",
}


def start(name):
    """Begin to ask an instance: all are asked at the same time, so that a late one delays no other."""
    command = ["timeout", "10", "redis-ask", name, "INFO"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def describe(info):
    """Return what the text of INFO says."""
    found = dict(re.findall(r"^(\w+):(.*?)\r?$", info, re.M))
    databases = re.findall(r"^db(\d+):keys=(\d+),expires=(\d+)", info, re.M)
    return {
        "version": found.get("redis_version"),
        "eviction_policy": found.get("maxmemory_policy"),
        **{name: int(found[word]) if word in found else None for name, word in NUMBERS.items()},
        "databases": {number: {"keys": int(keys), "expire": int(expire)} for number, keys, expire in databases},
    }


def main():
    """Print it."""
    found = {}
    for name, (port, process) in {name: (port, start(name)) for name, port in json.loads(sys.argv[1]).items()}.items():
        said, complaint = process.communicate()
        late = "no answer in time" if process.returncode == 124 else None
        wrong = process.returncode != 0 or "redis_version:" not in said
        error = late or complaint or said or "no answer"
        found[name] = {"port": port, "error": error if wrong else None, **describe("" if wrong else said)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
