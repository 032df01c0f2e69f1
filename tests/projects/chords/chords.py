"""A project with a chord: two tasks, and one that gets what both return and writes the sum into a file."""

import os
from pathlib import Path

from celery import Celery, chord

if "DJANGO_SETTINGS_MODULE" in os.environ:
    import django

    django.setup()
app = Celery("chords")
app.config_from_envvar("CELERY_CONFIG_MODULE")


@app.task
def part(number):
    return number


@app.task
def total(numbers, file):
    Path(file).write_text(str(sum(numbers)))


def begin(file, **options):
    """Send the chord, whose sum is 3; `options` are those of the two tasks."""
    chord([part.s(number).set(**options) for number in (1, 2)])(total.s(file))
