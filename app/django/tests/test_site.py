import pytest
from django.core.management import call_command

from warren_site.pages.models import Page
from warren_site.pages.tasks import check_page

pytestmark = pytest.mark.django_db


def test_adding_a_page_sends_its_check_when_it_is_committed(
    admin_client, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as callbacks:
        answer = admin_client.post("/", {"url": "https://example.org/"})
        assert answer.status_code == 302
        assert sent() == []
    (callback,) = callbacks
    callback()
    assert sent() == [("warren_site.pages.tasks.check_page", [Page.objects.get().pk], {})]


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://example.org/", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(admin_client, url):
    answer = admin_client.post("/", {"url": url})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not Page.objects.exists()


def test_the_last_check_is_shown(admin_client, server):
    page = Page.objects.create(url=f"{server}/200")
    assert "not checked yet" in admin_client.get("/").content.decode()
    check_page(page.pk, run="first")
    Page.objects.update(url=f"{server}/418")
    check_page(page.pk, run="second")
    text = admin_client.get("/").content.decode()
    assert "418" in text
    assert "not checked yet" not in text


def test_a_stranger_sees_and_adds_nothing(client):
    for answer in (client.get("/"), client.post("/", {"url": "https://example.org/"})):
        assert answer.status_code == 302
        assert answer.url.startswith("/admin/login/")
    assert not Page.objects.exists()


def test_the_site_is_healthy(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.parametrize(
    "path",
    [
        "pages/page/add/",
        "pages/check/",
        "django_celery_beat/periodictask/add/",
        "django_celery_results/taskresult/",
    ],
)
def test_the_admin_has_the_page(admin_client, path):
    assert admin_client.get(f"/admin/{path}").status_code == 200


def test_the_schedule_offers_the_sites_tasks(admin_client):
    form = admin_client.get("/admin/django_celery_beat/periodictask/add/").content.decode()
    assert "warren_site.pages.tasks.check_pages" in form


def test_no_migration_is_missing():
    call_command("makemigrations", "--check", "--dry-run")
