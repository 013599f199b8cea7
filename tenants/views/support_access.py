"""Who of the platform looks into a chain: opened with a reason, seen and ended by the chain."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import DomainError, NotAllowed, NotFound
from core.views import error_page, say
from tenants import access
from tenants.directory import support_accesses_visible_to
from tenants.people_forms import SupportAccessForm
from tenants.services.support_access import ENDS, end_support_access, open_support_access

PAGE = 25


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def support_access(request: HttpRequest) -> HttpResponse:
    """What is open and what was; for staff who may, a form that opens one."""
    asker = access.person(request.user)
    may_open = access.is_platform_staff(asker) and bool(access.may(asker, access.OPENS))
    if not may_open and not access.may(asker, "support_access:view"):
        return error_page(request, NotFound())
    if request.method == "POST" and not may_open:
        return error_page(request, NotAllowed())
    form = SupportAccessForm(request.POST if request.method == "POST" else None, asker=asker) if may_open else None
    if form and form.is_valid():
        try:
            opened = open_support_access(actor=asker, **form.cleaned_data)
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            messages.success(request, _("%(chain)s is open to you.") % {"chain": opened.chain.name})
            return redirect("people:support-access")
    rows = support_accesses_visible_to(asker).order_by("-created_at", "pk")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [
            {"opened": row, "may_end": row.in_force and (row.staff_id == asker.pk or access.may(asker, ENDS, row))}
            for row in page
        ],
        "form": form,
    }
    return render(request, "tenants/support_access.html", context, status=400 if form and form.errors else 200)


@require_POST
@login_required
def end(request: HttpRequest, opened_id: UUID) -> HttpResponse:
    """Close it at once."""
    asker = access.person(request.user)
    try:
        opened = support_accesses_visible_to(asker).filter(pk=opened_id).first()
        if opened is None:
            raise NotFound
        end_support_access(opened=opened, actor=asker)
    except DomainError as error:
        return error_page(request, error)
    messages.success(request, _("The access is closed. Nothing more is seen with it."))
    return redirect("people:support-access")
