from django.contrib.admin.views.decorators import staff_member_required
from django.db import DatabaseError, connection, transaction
from django.db.models import OuterRef, Subquery
from django.forms import modelform_factory
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from warren_site.pages.models import Check, Page
from warren_site.pages.tasks import check_page

PageForm = modelform_factory(Page, fields=["url"])


@staff_member_required
@require_http_methods(["GET", "POST"])
def index(request):
    """The pages and what their last checks found, and a form that adds a page."""
    form = PageForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        page = form.save()
        # Not before the page is committed: a worker could be faster, and find no page.
        check_page.delay_on_commit(page.pk)
        return redirect("index")
    last = Check.objects.filter(page=OuterRef("pk")).order_by("-checked_at")
    pages = Page.objects.annotate(
        status=Subquery(last.values("status")[:1]),
        error=Subquery(last.values("error")[:1]),
        checked_at=Subquery(last.values("checked_at")[:1]),
    )
    return render(request, "pages/index.html", {"form": form, "pages": pages})


# No transaction around it: that would fail before the view could say so.
@transaction.non_atomic_requests
@never_cache
@require_safe
def healthz(request):
    """For monitors: 200 when the site and its database answer, 503 otherwise."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as problem:
        return HttpResponse(f"no database: {problem}\n", content_type="text/plain", status=503)
    return HttpResponse("ok\n", content_type="text/plain")
