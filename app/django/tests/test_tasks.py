from datetime import timedelta

import pytest
from django.utils import timezone

from warren_site.pages.models import Check, Page
from warren_site.pages.tasks import check_page, check_pages, forget_checks

pytestmark = pytest.mark.django_db


def test_a_check_records_the_status(server):
    page = Page.objects.create(url=f"{server}/204")
    result = check_page.apply((page.pk,), task_id="t1").get()
    check = Check.objects.get()
    assert (check.page, check.run, check.status, check.error) == (page, "t1", 204, "")
    assert (result["url"], result["status"]) == (page.url, 204)


def test_an_error_page_is_an_answer(server):
    page = Page.objects.create(url=f"{server}/503")
    check_page(page.pk, run="r")
    assert (Check.objects.get().status, Check.objects.get().error) == (503, "")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/", "http://nobody.invalid/", "{}/cut"])
def test_no_answer_is_recorded_with_its_reason(server, address):
    page = Page.objects.create(url=address.format(server))
    check_page(page.pk, run="r")
    assert Check.objects.get().status is None
    assert Check.objects.get().error


def test_a_task_that_is_delivered_twice_leaves_one_record(server):
    page = Page.objects.create(url=f"{server}/200")
    check_page.apply((page.pk,), task_id="again")
    Page.objects.update(url=f"{server}/404")
    check_page.apply((page.pk,), task_id="again")
    assert Check.objects.get().status == 404


def test_another_run_is_another_record(server):
    page = Page.objects.create(url=f"{server}/200")
    check_page(page.pk, run="r1")
    check_page(page.pk, run="r2")
    assert Check.objects.count() == 2


def test_a_page_that_was_removed_is_no_failure():
    assert check_page(1, run="r") is None


def test_every_page_is_sent_and_filed_under_the_run(sent):
    pages = [Page.objects.create(url=f"https://example.org/{number}").pk for number in range(3)]
    for _ in range(2):
        assert check_pages.apply(task_id="run").get() == {"pages": 3}
        expected = [
            ("warren_site.pages.tasks.check_page", [page], {"run": "run"}) for page in pages
        ]
        assert sent() == expected


def test_only_old_checks_are_forgotten():
    page = Page.objects.create(url="https://example.org/")
    for days in (1, 29, 31):
        at = timezone.now() - timedelta(days=days)
        Check.objects.create(page=page, run=str(days), checked_at=at, seconds=0)
    assert forget_checks(days=30) == {"deleted": 1}
    assert set(Check.objects.values_list("run", flat=True)) == {"1", "29"}
    assert forget_checks(days=30) == {"deleted": 0}
