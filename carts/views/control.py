"""Manager pages: branches, carts, rentals, devices, live. Every look-up starts from the manager."""

from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from carts import presentation, selectors, services
from carts.enums import CartCondition, CartStatus
from carts.figures import branch_figures
from carts.forms import NoteForm, ReasonForm
from carts.history import cart_history, reason_words
from carts.models import Cart
from carts.rendering import branch_heading, device_rows, parts_visible_to, rental_rows
from core.errors import DomainError, NotAllowed, NotFound
from core.keys import key_of_form
from core.views import error_page, say
from devices.enums import PresenceState
from tenants import access
from tenants.selectors import branch_visible_to, branches_visible_to


@never_cache
@require_safe
@login_required
def branch_list(request: HttpRequest) -> HttpResponse:
    """The manager's branches and how each is doing."""
    # Said here: what is counted in groups leaves a model's own order aside.
    rows = (
        branches_visible_to(request.user, "carts:view")
        .order_by("name", "pk")
        .annotate(
            carts_total=Count("carts", distinct=True),
            free=Count(
                "carts",
                distinct=True,
                filter=Q(carts__status=CartStatus.AVAILABLE, carts__condition=CartCondition.OK),
            ),
            out=Count("carts", distinct=True, filter=Q(carts__status=CartStatus.RENTED)),
            attention=Count(
                "carts", distinct=True, filter=~Q(carts__condition=CartCondition.OK) & Q(carts__isnull=False)
            ),
            devices_total=Count("devices", distinct=True),
            devices_online=Count("devices", distinct=True, filter=Q(devices__presence__state=PresenceState.ONLINE)),
        )
    )
    branches = [
        {
            **branch_heading(row),
            "city": row.city,
            "carts_total": row.carts_total,
            "free": row.free,
            "out": row.out,
            "attention": row.attention,
            "devices_online": row.devices_online,
            "devices_total": row.devices_total,
            **_branch_badge(row.devices_online, row.devices_total, row.attention),
        }
        for row in rows
    ]
    return render(request, "carts/control_branch_list.html", {"branches": branches})


def _branch_badge(online: int, total: int, attention: int) -> dict[str, str]:
    if total and online == 0:
        return {"badge_kind": "bad", "badge_word": _("Offline")}
    if online < total or attention:
        return {"badge_kind": "warn", "badge_word": _("Look here")}
    return {"badge_kind": "ok", "badge_word": _("Fine")}


@never_cache
@require_safe
@login_required
def branch(request: HttpRequest, branch_id: UUID) -> HttpResponse:
    """One branch now; a socket keeps it true."""
    try:
        found = branch_visible_to(request.user, branch_id, "carts:view")
    except NotFound as error:
        return error_page(request, error)
    carts = list(selectors.carts_visible_to(request.user, found))
    seen = parts_visible_to(request.user, found)
    with timezone.override(found.time_zone):
        context = {
            "branch": branch_heading(found),
            "live_url": f"/ws/branches/{found.pk}",
            "carts": [presentation.cart_tile(row) for row in carts],
            "seen": seen,
            "rentals": rental_rows(found) if seen.rentals else [],
            "devices": device_rows(found) if seen.devices else [],
            "figures": branch_figures(found) if seen.rentals else [],
            "last_event_at": max((row.lock_reported_at for row in carts if row.lock_reported_at), default=None),
        }
        return render(request, "carts/control_branch.html", context)


@never_cache
@require_safe
@login_required
def posters(request: HttpRequest, branch_id: UUID) -> HttpResponse:
    """The QR codes of the branch's carts, to print and to stick on."""
    try:
        found = branch_visible_to(request.user, branch_id, "carts:view")
    except NotFound as error:
        return error_page(request, error)
    carts = selectors.carts_visible_to(request.user, found)
    context = {
        "branch": branch_heading(found),
        "seen": parts_visible_to(request.user, found),
        "posters": [presentation.poster(row) for row in carts],
    }
    return render(request, "carts/control_posters.html", context)


@never_cache
@require_safe
@login_required
def cart(request: HttpRequest, branch_id: UUID, cart_id: UUID) -> HttpResponse:
    """One cart: state, what can be done, what happened."""
    try:
        found = _cart(request, branch_id, cart_id, "carts:view")
    except NotFound as error:
        return error_page(request, error)
    return _cart_page(request, found, NoteForm())


def _cart_page(request: HttpRequest, found: Cart, form: NoteForm) -> HttpResponse:
    with timezone.override(found.branch.time_zone):
        rentals = selectors.rentals_visible_to(request.user).filter(cart=found)[:20]
        context = {
            "branch": branch_heading(found.branch),
            "seen": parts_visible_to(request.user, found.branch),
            "live_url": f"/ws/branches/{found.branch_id}",
            "cart": {
                **{name: getattr(presentation.cart_tile(found), name) for name in presentation.CartTile.__slots__},
                "facts": presentation.cart_facts(found),
                "note": reason_words(found.maintenance_notes),
            },
            "actions": presentation.cart_actions(found) if access.may(request.user, "carts:command", found) else [],
            "idempotency_key": uuid4().hex,
            "maintenance_form": form,
            "rentals": [presentation.rental_row(row) for row in rentals],
            "changes": cart_history(found),
        }
        return render(request, "carts/control_cart.html", context, status=400 if form.errors else 200)


@require_POST
@login_required
def cart_unlock(request: HttpRequest, branch_id: UUID, cart_id: UUID) -> HttpResponse:
    """Open a lock by hand."""
    return _command(request, branch_id, cart_id, "unlock", _("Unlock sent."))


@require_POST
@login_required
def cart_lock(request: HttpRequest, branch_id: UUID, cart_id: UUID) -> HttpResponse:
    """Ask whether a lock is closed; these locks latch by themselves."""
    return _command(request, branch_id, cart_id, "lock", _("Lock sent."))


def _command(request: HttpRequest, branch_id: UUID, cart_id: UUID, type_: str, done: str) -> HttpResponse:
    try:
        found = _cart(request, branch_id, cart_id, "carts:command")
        services.command_cart(
            cart=found, type=type_, actor=access.person(request.user), idempotency_key=key_of_form(request)
        )
    except (NotFound, NotAllowed) as error:
        return error_page(request, error)
    except DomainError as error:
        messages.error(request, say(error))
    else:
        messages.success(request, done)
    return redirect("carts:branch-detail", branch_id)


@require_POST
@login_required
def cart_maintenance(request: HttpRequest, branch_id: UUID, cart_id: UUID) -> HttpResponse:
    """Take a cart out of the offer."""
    form = NoteForm(request.POST)
    try:
        found = _cart(request, branch_id, cart_id, "carts:change")
        if not form.is_valid():
            return _cart_page(request, found, form)
        services.put_in_maintenance(cart=found, note=form.cleaned_data["note"], actor=request.user)
    except DomainError as error:
        return error_page(request, error)
    messages.success(request, _("Cart %(number)s is in maintenance.") % {"number": found.cart_number})
    return redirect("carts:branch-detail", branch_id)


@require_POST
@login_required
def cart_restore(request: HttpRequest, branch_id: UUID, cart_id: UUID) -> HttpResponse:
    """Offer a cart again."""
    try:
        found = _cart(request, branch_id, cart_id, "carts:change")
        services.put_in_service(cart=found, actor=request.user)
    except DomainError as error:
        return error_page(request, error)
    messages.success(request, _("Cart %(number)s is back in service.") % {"number": found.cart_number})
    return redirect("carts:branch-detail", branch_id)


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def rental_end(request: HttpRequest, branch_id: UUID, rental_id: UUID) -> HttpResponse:
    """End a rental that the lock doesn't; asks for the reason."""
    rentals = selectors.rentals_visible_to(request.user, "rentals:close")
    found = rentals.filter(branch_id=branch_id, pk=rental_id).first()
    if found is None:
        return error_page(request, NotFound())
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.close_rental(rental=found, reason=form.cleaned_data["reason"], actor=access.person(request.user))
        except DomainError as error:
            form.add_error(None, say(error))
        else:
            messages.success(request, _("The rental is closed."))
            return redirect("carts:branch-detail", branch_id)
    with timezone.override(found.branch.time_zone):
        context = {
            "branch": branch_heading(found.branch),
            "seen": parts_visible_to(request.user, found.branch),
            "rental": presentation.rental_row(found),
            "form": form,
        }
        return render(request, "carts/control_rental_end.html", context, status=400 if form.is_bound else 200)


def _cart(request: HttpRequest, branch_id: UUID, cart_id: UUID, permission: str) -> Cart:
    """The cart when this person may see it; `NotAllowed` when they may see but not touch it."""
    found = selectors.cart_visible_to(request.user, cart_id)
    if found.branch_id != branch_id:
        raise NotFound
    if not access.may(request.user, permission, found):
        raise NotAllowed
    return found
