"""What the site takes from its environment."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

PROJECT = Path(__file__).parents[1]

ENVIRONMENT = {
    "DJANGO_SECRET_KEY": "for-tests",
    "DJANGO_ALLOWED_HOSTS": "testserver,192.0.2.1",
    "STATIC_ROOT": "/nowhere",
    # Nobody listens there.
    "PGHOST": "127.0.0.1",
    "PGPORT": "1",
    "PGUSER": "site",
    "PGDATABASE": "site",
}
DJANGO = "import django; from django.conf import settings; import warren_site; django.setup()\n"


def run(code, **environment):
    """Run code in a separate interpreter: an application is configured only once."""
    present = {
        name: value for name, value in (ENVIRONMENT | environment).items() if value is not None
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=present,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", [name for name in ENVIRONMENT if name != "PGPORT"])
def test_a_missing_variable_is_named(monkeypatch, name, value):
    for present in ENVIRONMENT:
        monkeypatch.setenv(present, ENVIRONMENT[present])
    monkeypatch.delenv(name)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"Set the environment variable {name} to "):
        runpy.run_path(str(PROJECT / "warren_site/settings.py"))


def test_the_environment_takes_effect():
    done = run(DJANGO + "print(settings.DEBUG, settings.ALLOWED_HOSTS, settings.STATIC_ROOT)")
    assert done.stdout.strip() == "False ['testserver', '192.0.2.1'] /nowhere", done.stderr


def test_a_former_key_still_opens_what_it_has_signed():
    code = "from django.core.signing import dumps, loads\n"
    signed = run(DJANGO + code + "print(dumps('order 7'))").stdout.strip()
    opens = DJANGO + code + f"print(loads({signed!r}))"
    keys = {"DJANGO_SECRET_KEY": "a-new-one"}
    assert "BadSignature" in run(opens, **keys).stderr
    done = run(opens, **keys, DJANGO_SECRET_KEY_FALLBACKS='["for-tests"]')
    assert done.stdout.strip() == "order 7", done.stderr


def test_without_its_database_the_site_is_not_healthy():
    code = "from django.test import Client; answer = Client().get('/healthz')\n"
    done = run(DJANGO + code + "print(answer.status_code, answer.content)")
    assert done.stdout.startswith("503 b'no database: connection failed"), done.stderr


@pytest.mark.parametrize(
    ("config", "wanted"), [("kit", "pyamqp://kit.example// django-db"), (None, "memory:// None")]
)
def test_the_kits_configuration_wins(tmp_path, config, wanted):
    (tmp_path / "kit.py").write_text(
        "broker_url = 'pyamqp://kit.example//'\nresult_backend = 'django-db'\n"
    )
    code = "conf = warren_site.celery_app.conf; print(conf.broker_url, conf.result_backend)"
    done = run(DJANGO + code, CELERY_CONFIG_MODULE=config, PYTHONPATH=str(tmp_path))
    assert done.stdout.strip() == wanted, done.stderr


def test_a_configuration_that_cannot_be_imported_is_an_error():
    done = run(
        DJANGO + "print(warren_site.celery_app.conf.broker_url)",
        CELERY_CONFIG_MODULE="no_such_module",
    )
    assert done.returncode != 0
    assert "no_such_module" in done.stderr


def test_celery_finds_the_sites_tasks(tmp_path):
    (tmp_path / "kit.py").write_text("result_backend = 'django-db'\n")
    code = (
        "from celery.app.utils import find_app; app = find_app('warren_site')\n"
        "app.loader.import_default_modules()\n"
        "print(*sorted(name for name in app.tasks if name.startswith('warren_site')))\n"
        "print(type(app.backend).__name__)"
    )
    done = run(code, CELERY_CONFIG_MODULE="kit", PYTHONPATH=str(tmp_path))
    tasks = ["check_page", "check_pages", "forget_checks"]
    wanted = [*(f"warren_site.pages.tasks.{name}" for name in tasks), "DatabaseBackend"]
    assert done.stdout.split() == wanted, done.stderr
