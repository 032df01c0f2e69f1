"""Ansible's module firewall."""

import os
import shlex
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: firewall
short_description: Load the rules of the kit's firewall, and take them back unless Ansible comes in again
description:
  - The rules are C(table inet warren) of nftables. Other tables belong to the host's operator, and are left alone.
  - Called once, it has C(nft) check the rules, and loads them in one piece. A timer of systemd puts the former ones
    back after C(seconds). Called again with C(keep), over a new connection, it stops the timer and writes the rules
    to C(/etc/warren/firewall.nft), from which C(warren-firewall.service), which the role host writes, loads them
    when the host boots. So a host that lets nobody in any more is reached again, and a reboot brings the last rules
    that were kept.
  - The rules are loaded again where the kernel has others than the file, as after C(nft flush ruleset).
  - Without rules, it removes the table and the file, and disables the service.
options:
  rules:
    description: A file for C(nft) that replaces C(table inet warren) as a whole; empty for no firewall.
    type: str
    required: true
  keep:
    description: Keep the rules that were loaded by the call before.
    type: bool
    default: false
  existing:
    description: Change rules only where some were kept before.
    type: bool
    default: false
  seconds:
    description: How long the rules stay without C(keep).
    type: int
    default: 120
author: [Warren]
"""

EXAMPLES = """
- name: Load the rules
  firewall:
    rules: "{{ lookup('ansible.builtin.template', 'firewall.nft.j2') }}"
  register: loaded

- name: Keep them
  firewall:
    rules: "{{ lookup('ansible.builtin.template', 'firewall.nft.j2') }}"
    keep: true
  vars: {ansible_control_path: none}
  when: loaded.changed
"""

RETURN = """
changed:
  description: Whether rules were loaded, kept or removed.
  type: bool
  returned: always
"""

TABLE = ["table", "inet", "warren"]
KEPT = Path("/etc/warren/firewall.nft")
LOADED = Path("/run/warren-firewall.nft")
SERVICE = "warren-firewall.service"
UNDO = "warren-firewall-undo"


class Firewall:
    """The host's firewall."""

    def __init__(self, module):
        self.module = module

    def run(self, *command):
        """Run a command, and return what it prints.

        The module fails if the command does.
        """
        return self.module.run_command(list(command), check_rc=True)[1]

    def kept(self):
        """Return the rules that were kept last, or None."""
        with suppress(FileNotFoundError):
            return KEPT.read_text()
        return None

    def is_loaded(self, rules):
        """Return whether the kernel has exactly these rules: what it has is compared with what it makes of them.

        The kernel writes rules in its own words, so they are loaded where nobody is: in a network of their own.
        """
        code, now, _ = self.module.run_command(["nft", "--stateless", "list", *TABLE])
        if code:
            return False
        self.write(LOADED, rules)
        command = f"nft --file {LOADED} && nft --stateless list {shlex.join(TABLE)}"
        return self.run("unshare", "--net", "sh", "-c", command) == now

    def write(self, path, text):
        """Write a file as a whole."""
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.chmod(0o644)
        new.replace(path)

    def load(self, rules, seconds):
        """Load the rules for some seconds."""
        self.write(LOADED, rules)
        code, _, said = self.module.run_command(["nft", "--check", "--file", str(LOADED)])
        if code:
            self.module.fail_json(msg=f"nft refuses the rules of the firewall, and nothing was changed: {said.strip()}")
        self.stop_the_timer()
        back = f"if [ -e {KEPT} ]; then nft --file {KEPT}; else nft delete {shlex.join(TABLE)}; fi"
        timer = ["systemd-run", "--quiet", "--collect", f"--unit={UNDO}", f"--on-active={seconds}s"]
        self.run(*timer, "--timer-property=AccuracySec=1s", "sh", "-c", back)
        self.run("nft", "--file", str(LOADED))

    def keep(self, rules):
        """Keep the rules that are loaded.

        The module fails when the timer has put the former ones back.
        """
        self.stop_the_timer()
        if not self.is_loaded(rules):
            self.module.fail_json(msg="The timer has put the firewall's former rules back meanwhile: run this again.")
        self.write(KEPT, rules)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "--quiet", "enable", "--now", SERVICE)

    def remove(self):
        """Remove the table and the file, and disable the service."""
        self.stop_the_timer()
        self.module.run_command(["systemctl", "--quiet", "disable", SERVICE])
        self.module.run_command(["nft", "delete", *TABLE])
        for path in (KEPT, LOADED):
            path.unlink(missing_ok=True)

    def stop_the_timer(self):
        """Stop the timer, if there is one."""
        self.module.run_command(["systemctl", "stop", f"{UNDO}.timer"])


def main():
    """Load, keep or remove the rules."""
    module = AnsibleModule(
        argument_spec={
            "rules": {"type": "str", "required": True},
            "keep": {"type": "bool", "default": False},
            "existing": {"type": "bool", "default": False},
            "seconds": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    # nft is not in the path of every user's sudo.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    firewall = Firewall(module)
    rules, kept = module.params["rules"], firewall.kept()
    if module.params["keep"]:
        firewall.keep(rules)
        module.exit_json(changed=True)
    if rules and (kept is not None or not module.params["existing"]):
        changed = rules != kept or not firewall.is_loaded(rules)
    else:
        changed = bool(not rules and kept)
    if changed and not module.check_mode:
        if rules:
            firewall.load(rules, module.params["seconds"])
        else:
            firewall.remove()
    module.exit_json(changed=changed, diff={"before": kept or "", "after": rules, "before_header": str(KEPT)})


if __name__ == "__main__":
    main()
