"""The site's tasks. Each may run twice without harm, as delivery is at least once.

Their results are kept in the database; the kit's default is to keep none.
"""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from warren_site.pages.fetch import fetch
from warren_site.pages.models import Check, Page


@shared_task(bind=True, ignore_result=False)
def check_pages(self):
    """Send a check of every page; for the schedule.

    :returns: a dict, `pages` (int, how many checks were sent).
    """
    pages = list(Page.objects.values_list("pk", flat=True))
    for page in pages:
        check_page.delay(page, run=self.request.id)
    return {"pages": len(pages)}


# The limit is for a server that answers a few bytes at a time.
@shared_task(bind=True, ignore_result=False, soft_time_limit=60)
def check_page(self, page_id, run=None):
    """Fetch a page and record what was found.

    :param page_id: primary key of the page.
    :param run: what the record is filed under, with the page; this task's id if None.
    :returns: a dict of `url`, `status`, `error`, `seconds`, or None where the page was removed.
    """
    page = Page.objects.filter(pk=page_id).first()
    if page is None:
        return None
    found = fetch(page.url)
    Check.objects.update_or_create(
        page=page, run=run or self.request.id, defaults=found | {"checked_at": timezone.now()}
    )
    return {"url": page.url} | found


@shared_task(ignore_result=False)
def forget_checks(days=30):
    """Delete the records of checks that are older than `days`; for the schedule.

    :returns: a dict, `deleted` (int, how many records).
    """
    deleted, _ = Check.objects.filter(checked_at__lt=timezone.now() - timedelta(days=days)).delete()
    return {"deleted": deleted}
