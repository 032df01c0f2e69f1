"""Ansible's filter `redis_user_lines`: the users of an instance of Redis, and what each may do."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

# Everything, for root's own commands.
ADMINISTRATOR = "~* &* +@all"
# Figures, and neither keys, values, other people's commands nor settings.
MONITOR = "+ping +info +client|setname +slowlog|len +latency|latest"
# What any client of the project says. Which database it means is not limited: Redis knows no rights for that.
CLIENT = "+ping +select +client|setname"
# redis-py's locks are scripts, which it loads. In a script, too, a user has its own rights only.
SCRIPT = "+evalsha +script|load +script|exists"
# What each purpose needs, as tests/test_redis_users.py tries with real clients.
RIGHTS = {
    # Celery's result backend, with groups and chords. A project may have it put words of its own before all keys.
    "results": (
        "~*celery-task-meta-* ~*celery-taskset-meta-* &*celery-task-meta-* &*celery-taskset-meta-* "
        f"{CLIENT} {SCRIPT} +multi +exec +get +mget +set +setex +del +exists +expire +incr +incrby "
        "+publish +subscribe +unsubscribe +rpush +lrange +llen +zadd +zrange +zcount +sadd +sismember"
    ),
    # celery_once, and redis-py's locks with its keys.
    "locks": f"~qo_* {CLIENT} {SCRIPT} +get +set +del +pexpire +pttl",
    # RedBeat's schedule and its lock.
    "schedule": (
        f"~redbeat:* {CLIENT} {SCRIPT} +multi +exec +get +set +del +pexpire +pttl +hget +hset +hsetnx +sadd +srem "
        "+smembers +zadd +zrem +zrank +zrangebyscore"
    ),
}
LINE = re.compile(r"^user (?P<name>\S+) reset on (?P<digests>(?:#[0-9a-f]{64} )+)", re.MULTILINE)


def redis_user_lines(
    users: Sequence[Mapping[str, str]], instance: str, password: object, monitor_password: object, there: str = ""
) -> list[str]:
    """Return the lines of an instance's file of users. Of a password a line has the digest only.

    :param users: as the input `redis_users` says, of all instances.
    :param password: of the user `default`, with whom root's commands log in.
    :param monitor_password: of the user `monitor`; without one, there is no such user.
    :param there: the file that the host has. Its users stay, with its passwords, as clients may still have the former
        ones. Without it, only the wanted ones are left.
    """
    rights = {"default": ADMINISTRATOR}
    passwords = {"default": password}
    if monitor_password:
        rights["monitor"] = MONITOR
        passwords["monitor"] = monitor_password
    for user in users:
        if user["instance"] == instance:
            rights[user["name"]] = RIGHTS[user["purpose"]]
            passwords[user["name"]] = user["password"]
    found = {match["name"]: match for match in LINE.finditer(there)}
    lines = []
    for name, rule in rights.items():
        digests = [f"#{hashlib.sha256(str(passwords[name]).encode()).hexdigest()}"]
        former = found[name]["digests"].split() if name in found else []
        digests += [digest for digest in former if digest not in digests]
        lines.append(f"user {name} reset on {' '.join(digests)} resetchannels {rule}")
    texts = {name: there[match.start() :].splitlines()[0] for name, match in found.items()}
    return lines + [text for name, text in texts.items() if name not in rights]


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, Callable]:
        """Return the filter by its name."""
        return {"redis_user_lines": redis_user_lines}
