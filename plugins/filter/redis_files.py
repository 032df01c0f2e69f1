"""Ansible's filters `redis_files`, `redis_user_files` and `redis_passwords`.

They return files, as the module config_files takes them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Instances = list[dict[str, Any]]
CHECK = "/usr/local/sbin/redis-check-config %s"


def redis_files(instances: Instances) -> list[dict[str, Any]]:
    """Return the configuration of each Redis instance.

    :param instances: as the input `redis_instances` says. The template finds its own as `store`.
    """
    return [
        {
            "path": f"/etc/redis/redis-{instance['name']}.conf",
            "template": "redis.conf.j2",
            "vars": {"store": instance},
            "group": "redis",
            "mode": "0640",
            "validate": CHECK,
            # The one of earlier versions has passwords.
            "diff": False,
        }
        for instance in instances
    ]


def redis_user_files(instances: Instances, there: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the file of each instance's users.

    :param there: the files that the host has, by the name of the instance. Users in them stay. The template finds its
        own as `there`.
    """
    return [
        {
            "path": f"/etc/redis/users-{instance['name']}.conf",
            "template": "users.conf.j2",
            "vars": {"store": instance, "there": (there or {}).get(instance["name"], "")},
            "group": "redis",
            "mode": "0640",
            "validate": CHECK,
            # Whoever has a digest can try passwords.
            "diff": False,
        }
        for instance in instances
    ]


def redis_passwords(names: Iterable[str], password: object) -> list[dict[str, Any]]:
    """Return the file of each instance in which root's commands find their password, which only root may read."""
    return [
        {"path": f"/etc/redis/password-{name}", "content": f"{password}\n", "mode": "0600", "diff": False}
        for name in names
    ]


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable]:
        """Return the filters by their names."""
        return {
            "redis_files": redis_files,
            "redis_user_files": redis_user_files,
            "redis_passwords": redis_passwords,
        }
