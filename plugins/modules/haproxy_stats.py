"""Ansible's module haproxy_stats."""

from ansible.module_utils.basic import AnsibleModule
from haproxystats import HAProxyServer

DOCUMENTATION = """
module: haproxy_stats
short_description: Read HAProxy's stats page
description:
  - Reads the statistics of one HAProxy over HTTP, and changes nothing.
  - Runs where C(haproxy-stats) of PyPI is installed, as on the control node.
options:
  address:
    description: Host and port of the stats page.
    type: str
    required: true
  user:
    description: Name that the page takes.
    type: str
    required: true
  password:
    description: Password that the page takes.
    type: str
    required: true
  timeout_seconds:
    description: Seconds to wait for the page.
    type: int
    default: 3
author: [Warren]
"""

EXAMPLES = """
- haproxy_stats: {address: "192.0.2.21:8404", user: admin, password: "{{ vaulted }}"}
  delegate_to: localhost
  register: page
"""

RETURN = """
servers:
  description:
    - A dictionary for each server of a backend, with C(backend), C(name), C(status), C(check) (what the last check
      said), C(sessions), C(sessions_total), C(bytes_in), C(bytes_out), and C(since_seconds) of this status.
  type: list
  returned: success
"""


class Page(HAProxyServer):
    """The stats page, with the reason why it cannot be read: the library only logs it."""

    reason = ""

    def _fail(self, reason):
        self.failed, self.reason = True, str(reason)


def explain(page, address):
    """Return a sentence for a page that cannot be read."""
    if "401" in page.reason:
        return f"The stats page at {address} does not take the password."
    return f"The stats page at {address} cannot be read: {page.reason}"


def main():
    """Read the page, and return what it says."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "timeout_seconds": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    page = Page(wanted["address"], wanted["user"], wanted["password"], timeout=wanted["timeout_seconds"])
    if page.failed:
        module.fail_json(msg=explain(page, wanted["address"]))
    module.exit_json(
        servers=[
            {
                "backend": backend.name,
                "name": server.name,
                "status": server.status,
                "check": server.check_status,
                "sessions": server.scur,
                "sessions_total": server.stot,
                "bytes_in": server.bin,
                "bytes_out": server.bout,
                "since_seconds": server.lastchg,
            }
            for backend in page.backends
            for server in backend.listeners
        ]
    )


if __name__ == "__main__":
    main()
