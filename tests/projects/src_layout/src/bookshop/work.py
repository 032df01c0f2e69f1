from pathlib import Path

from celery import shared_task


@shared_task
def note(file):
    Path(file).write_text("done")
