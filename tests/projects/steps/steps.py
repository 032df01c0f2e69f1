"""A project with a step of its own in the consumer, which must run in the kit's consumer, too."""

from pathlib import Path

from celery import Celery, bootsteps

app = Celery("steps")
app.config_from_envvar("CELERY_CONFIG_MODULE")


class Ready(bootsteps.StartStopStep):
    requires = ("celery.worker.consumer.tasks:Tasks",)
    begun = False

    def start(self, parent):
        Ready.begun = True


app.steps["consumer"].add(Ready)


@app.task
def note(file):
    Path(file).write_text("done" if Ready.begun else "no step")
