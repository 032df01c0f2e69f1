"""A project that does not read the kit's settings, or overrides them, is found before anything switches to it."""

import os
import subprocess
import sys

import pytest
from kit import PROJECT

SETTINGS = """
broker_url = "pyamqp://127.0.0.1//"
broker_transport_options = {"confirm_publish": True}
task_acks_late = True
result_backend = "disabled://"
accept_content = ["json"]
worker_consumer = "celeryparking:Consumer"
task_compression = None
ONCE = {}
"""
READS = 'app.config_from_envvar("CELERY_CONFIG_MODULE")\n'


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        (f'app = Celery("shop")\n{READS}', 0, ""),
        # Celery's own loader reads the variable, too.
        ('app = Celery("shop")\n', 0, ""),
        (f'app = Celery("shop")\n{READS}app.conf.task_time_limit = 9\n', 0, ""),
        (f'app = Celery("shop")\n{READS}app.conf.ONCE = {{1: 2}}\n', 0, ""),
        ('app = Celery("shop")\napp.config_from_object({"task_time_limit": 9})\n', 3, "add the line `app.config_from"),
        (f'app = Celery("shop", broker="redis://127.0.0.1")\n{READS}', 3, "cluster's settings broker_url. Take them"),
        (f'app = Celery("shop")\n{READS}app.conf.update(task_acks_late=False)\n', 3, "settings task_acks_late."),
        (
            f'app = Celery("shop")\n{READS}app.conf.broker_transport_options = {{"visibility_timeout": 9}}\n',
            3,
            "settings broker_transport_options.",
        ),
        ("import no_such_module\n", 1, "No module named 'no_such_module'"),
    ],
)
def test_the_contract_is_checked(tmp_path, lines, code, words):
    (tmp_path / "celeryconfig.py").write_text(SETTINGS)
    (tmp_path / "shop.py").write_text(f"from celery import Celery\n{lines}")
    done = subprocess.run(
        [sys.executable, PROJECT / "roles/celery_app/files/check_app.py", "shop"],
        cwd=tmp_path,
        env=os.environ
        | {"CELERY_CONFIG_MODULE": "celeryconfig", "PYTHONPATH": f"{tmp_path}:{PROJECT}/roles/celery_app/files"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
