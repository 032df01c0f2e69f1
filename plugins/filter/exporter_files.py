"""Ansible's filters about the files of exporters."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

# Those that do not read the file in which all others find their certificate, and have arguments for it.
OWN_TLS_ARGUMENTS = ("redis",)


def exporter_files(instances: list[dict[str, Any]], tls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the files of a host's exporters, as the module config_files takes them.

    :param instances: as the input `exporter_instances` says. One that names its `package` has a service of its own.
    :param tls: as the input `exporter_tls` says.
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
        if tls and _kind(instance) not in OWN_TLS_ARGUMENTS:
            files.append({"path": _web_config(instance), "template": "exporter-web.yml.j2"})
        arguments = {"path": f"/etc/default/{name}", "template": "exporter.j2", "vars": variables}
        files.append(arguments | {"validate": "sh -n %s"})
    return files


def exporter_tls_arguments(instance: Mapping[str, Any], tls: Mapping[str, str]) -> list[str]:
    """Return the arguments with which an exporter speaks HTTPS only; none without TLS."""
    if not tls:
        return []
    if _kind(instance) in OWN_TLS_ARGUMENTS:
        return [f"--tls-server-cert-file={tls['certificate']}", f"--tls-server-key-file={tls['key']}"]
    return [f"--web.config.file={_web_config(instance)}"]


def _kind(instance: Mapping[str, Any]) -> str:
    return instance.get("package", instance["name"])


def _web_config(instance: Mapping[str, Any]) -> str:
    return f"/etc/default/prometheus-{instance['name']}-exporter-web.yml"


def exporter_folders(names: Iterable[str]) -> list[dict[str, str]]:
    """Return the folders for what is added to the services of exporters, as the module config_files takes them."""
    return [{"path": f"/etc/systemd/system/prometheus-{name}-exporter.service.d"} for name in names]


class FilterModule:
    """The filters, for Ansible."""

    def filters(self):
        """Return the filters by their names."""
        return {
            "exporter_files": exporter_files,
            "exporter_folders": exporter_folders,
            "exporter_tls_arguments": exporter_tls_arguments,
        }
