"""Ansible's filter `sandbox`: what systemd keeps a service from."""

from collections.abc import Callable, Mapping

# For every service of the kit, where its role does not say why not: what none of them needs, and what whoever breaks in
# to one would want. systemd.exec(5) describes each option; `systemd-analyze security` weighs them.
SANDBOX = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "full",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "LockPersonality": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_NETLINK AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap",
    # Without it, such a call would end the process.
    "SystemCallErrorNumber": "EPERM",
}


def sandbox(differences: Mapping[str, str | None]) -> list[str]:
    """Return the lines of a service's sandbox, for the section [Service] of its unit.

    :param differences: options with a value of the service's own, or None for those that would break it.
    """
    options = SANDBOX | dict(differences)
    return [f"{name}={value}" for name, value in options.items() if value is not None]


class FilterModule:
    """The filter, as Ansible asks for it."""

    def filters(self) -> dict[str, Callable]:
        return {"sandbox": sandbox}
