"""Ansible's callback plugin `screen`."""

import atexit
import re

from ansible.plugins.callback import CallbackBase
from ansible.utils import color

DOCUMENTATION = """
name: screen
type: aggregate
short_description: Show a text at the end of a playbook
description:
  - Shows the statistic C(screen) that a playbook sets with M(ansible.builtin.set_stats), as it is, at the very end.
  - Colours of the terminal are taken out where Ansible shows none.
requirements: [enabled in ansible.cfg]
"""


class CallbackModule(CallbackBase):
    """The callback plugin."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "screen"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_stats(self, stats):
        """Show the text, if the playbook has one."""
        text = stats.custom.get("_run", {}).get("screen")
        if text:
            # At the very end: other plugins come after this one.
            shown = text if color.ANSIBLE_COLOR else re.sub(r"\x1b\[[0-9;]*m", "", text)
            atexit.register(self._display.display, "\n" + shown)
