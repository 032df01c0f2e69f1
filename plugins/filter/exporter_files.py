"""Ansible's filter exporter_files."""

import json
from typing import Any


def exporter_files(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the files of a host's exporters, as the module config_files takes them.

    :param instances: as the input `exporter_instances` says. One that names its `package` has a service of its own.
    """
    files = []
    for instance in instances:
        name, variables = f"prometheus-{instance['name']}-exporter", {"instance": instance}
        if "passwords" in instance:
            text = json.dumps(instance["passwords"]) + "\n"
            secret = {"path": f"/etc/default/{name}.json", "content": text, "diff": False}
            files.append(secret | {"group": "prometheus", "mode": "0640"})
        if "package" in instance:
            unit = {"path": f"/etc/systemd/system/{name}.service", "template": "exporter.service.j2", "vars": variables}
            files.append(unit)
        arguments = {"path": f"/etc/default/{name}", "template": "exporter.j2", "vars": variables}
        files.append(arguments | {"validate": "sh -n %s"})
    return files


class FilterModule:
    """The filter, for Ansible."""

    def filters(self):
        """Return the filter by its name."""
        return {"exporter_files": exporter_files}
