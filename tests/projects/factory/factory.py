"""An application that a function makes; `celery -A` takes its name in the module: factory:workers."""

from pathlib import Path

from celery import Celery


def create_app(name):
    app = Celery(name)
    app.config_from_envvar("CELERY_CONFIG_MODULE")

    @app.task(name="factory.note")
    def note(file):
        Path(file).write_text("done")

    return app


workers = create_app("factory")
