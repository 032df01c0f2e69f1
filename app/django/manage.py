#!/usr/bin/env python
"""Django's commands, for work in this folder; an installed site has `python -m django`."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "warren_site.settings")
    execute_from_command_line(sys.argv)
