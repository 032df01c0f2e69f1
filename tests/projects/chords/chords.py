"""A project with a chord: two tasks, and one that gets what both return and writes the sum into a file."""

from pathlib import Path

from celery import Celery, chord

app = Celery("chords")
app.config_from_envvar("CELERY_CONFIG_MODULE")


@app.task
def part(number):
    return number


@app.task
def total(numbers, file):
    Path(file).write_text(str(sum(numbers)))


def begin(file):
    """Send the chord, whose sum is 3."""
    chord([part.s(1), part.s(2)])(total.s(file))
