"""Ansible's callback plugin `preload`."""

import copy
import sys

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

DOCUMENTATION = """
name: preload
type: aggregate
short_description: Load the filters and tests once, and render templates without a copy of all variables
description:
  - Ansible runs each task of each host in a process of its own. Without this, each of them loads all filters and tests
    again, which was a fifth of the control node's CPU time (docs/performance.md).
  - For each template, Ansible's lookup C(template) copies all variables of the host and all that is in them, to add a
    few. That took four fifths of the time of a template. Here it copies the dictionary alone.
  - Prints nothing.
requirements: [enabled in ansible.cfg]
"""


class CallbackModule(CallbackBase):
    """The callback plugin."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        """Load them, in the process that all others come from."""
        super().__init__()
        for loader in (filter_loader, test_loader):
            list(loader.all())
        template = lookup_loader.get("ansible.builtin.template", class_only=True)
        sys.modules[template.__module__].deepcopy = copy.copy
