"""Ansible's filters about the files of exporters."""

import json
from collections.abc import Iterable
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
        else:
            # The same for all packages.
            template = "prometheus-node-exporter.service.d/sandbox.conf.j2"
            files.append({"path": f"/etc/systemd/system/{name}.service.d/sandbox.conf", "template": template})
        arguments = {"path": f"/etc/default/{name}", "template": "exporter.j2", "vars": variables}
        files.append(arguments | {"validate": "sh -n %s"})
    return files


def exporter_folders(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the folders for what is added to the services of exporters, as the module config_files takes them."""
    return [{"path": f"/etc/systemd/system/prometheus-{name}-exporter.service.d"} for name in names]


class FilterModule:
    """The filters, for Ansible."""

    def filters(self):
        """Return the filters by their names."""
        return {"exporter_files": exporter_files, "exporter_folders": exporter_folders}
