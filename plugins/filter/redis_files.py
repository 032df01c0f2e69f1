"""Ansible's filter redis_files."""

from typing import Any


def redis_files(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the configuration of each Redis instance, as the module config_files takes files.

    :param instances: as the input `redis_instances` says. The template finds its own as `store`.
    """
    return [
        {
            "path": f"/etc/redis/redis-{instance['name']}.conf",
            "template": "redis.conf.j2",
            "vars": {"store": instance},
            "group": "redis",
            "mode": "0640",
            "validate": "/usr/local/sbin/redis-check-config %s",
            "diff": False,
        }
        for instance in instances
    ]


class FilterModule:
    """The filter, for Ansible."""

    def filters(self):
        """Return the filter by its name."""
        return {"redis_files": redis_files}
