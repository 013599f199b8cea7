"""Customer pages: scan, phone, code, unlock, return, history. Everything works without JavaScript."""

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from carts import presentation, selectors, services
from carts.models import Rental
from core.errors import DomainError, NotFound
from core.keys import key_of_form
from core.views import error_page, say
from tenants import access, phone_sign_in
from tenants.models import Branch, User
from tenants.phone_sign_in import PhoneForm, asked_phone, resend_wait


@never_cache
@require_safe
def cart(request: HttpRequest, public_code: str) -> HttpResponse:
    """What the QR code opens: this cart, free or not, and the one thing to do next."""
    try:
        found = selectors.cart_of_code(public_code)
    except NotFound as error:
        return error_page(request, error)
    own = selectors.own_open_rental(request.user, found)
    free = selectors.free_carts(found.branch_id).filter(pk=found.pk).exists()
    context: dict[str, Any] = {
        "branch": _branch(found.branch),
        "cart": {
            "cart_number": found.cart_number,
            "is_free": free,
            "state_word": presentation.cart_tile(found).tile_word if not free else "",
        },
        "open_rental_url": reverse("carts:rental-detail", args=[own.pk]) if own else "",
    }
    if not free and (other := selectors.next_free_cart(found)):
        context["alternative"] = {
            "cart_number": other.cart_number,
            "url": reverse("carts:cart", args=[other.public_code]),
        }
    elif not free and found.controller and not found.controller.device.presence.connection_id:
        context["cart"]["state_word"] = _("out of reach")
    if request.user.is_authenticated:
        context |= {
            "unlock_url": reverse("carts:unlock", args=[public_code]),
            "idempotency_key": uuid4().hex,
            "masked_phone": request.user.masked_phone,
        }
    else:
        context |= {"form": PhoneForm(), "phone_url": reverse("carts:phone", args=[public_code])}
    return render(request, "carts/customer_cart.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
def phone(request: HttpRequest, public_code: str) -> HttpResponse:
    """Ask for the phone and send a code to it."""
    try:
        found = selectors.cart_of_code(public_code)
    except NotFound as error:
        return error_page(request, error)
    form = phone_sign_in.ask(request)
    if form is None:
        return redirect("carts:code", public_code)
    context = {
        "branch": _branch(found.branch),
        "cart": found,
        "form": form,
        "phone_url": reverse("carts:phone", args=[public_code]),
    }
    return render(request, "carts/customer_phone.html", context, status=400 if form.is_bound else 200)


@never_cache
@require_http_methods(["GET", "POST"])
def code(request: HttpRequest, public_code: str) -> HttpResponse:
    """Take the code; the right one signs in and leads back to the cart."""
    phone_number = asked_phone(request)
    if not phone_number:
        return redirect("carts:cart", public_code)
    try:
        found = selectors.cart_of_code(public_code)
    except NotFound as error:
        return error_page(request, error)
    form = phone_sign_in.answer(request)
    if form is None:
        return redirect("carts:cart", public_code)
    context = {
        "branch": _branch(found.branch),
        "cart": found,
        "form": form,
        "masked_phone": User(phone=phone_number).masked_phone,
        "resend_in_s": resend_wait(request),
        "resend_url": reverse("carts:resend", args=[public_code]),
        "phone_url": reverse("carts:phone", args=[public_code]),
    }
    return render(request, "carts/customer_code.html", context, status=400 if form.is_bound else 200)


@require_POST
def resend(request: HttpRequest, public_code: str) -> HttpResponse:
    """Another code to the same phone."""
    if not asked_phone(request):
        return redirect("carts:cart", public_code)
    phone_sign_in.resend(request)
    return redirect("carts:code", public_code)


@require_POST
def unlock(request: HttpRequest, public_code: str) -> HttpResponse:
    """Reserve the cart and open its lock; the key in the form makes a double tap one rental."""
    if not request.user.is_authenticated:
        return redirect("carts:cart", public_code)
    try:
        found = selectors.cart_of_code(public_code)
        started = services.start_rental(cart=found, customer=request.user, idempotency_key=key_of_form(request))
    except NotFound as error:
        return error_page(request, error)
    except DomainError as error:
        messages.error(request, say(error))
        return redirect("carts:cart", public_code)
    return redirect("carts:rental-detail", started["rental_id"])


@never_cache
@require_safe
def rental(request: HttpRequest, rental_id: UUID) -> HttpResponse:
    """The rental's own page; a socket keeps it true."""
    try:
        found = _own_rental(request, rental_id)
    except NotFound as error:
        return error_page(request, error)
    context = {
        "branch": _branch(found.branch),
        "rental": presentation.rental_page(found),
        "live_url": f"/ws/rentals/{found.pk}",
    }
    return render(request, "carts/rental_detail.html", context)


@require_POST
def rental_return(request: HttpRequest, rental_id: UUID) -> HttpResponse:
    """The customer says the cart is back."""
    try:
        services.return_cart(rental=_own_rental(request, rental_id), actor=access.person(request.user))
    except NotFound as error:
        return error_page(request, error)
    except DomainError as error:
        messages.error(request, say(error))
    return redirect("carts:rental-detail", rental_id)


@require_POST
def rental_did_not_open(request: HttpRequest, rental_id: UUID) -> HttpResponse:
    """The customer says it did not open."""
    try:
        services.report_not_opened(rental=_own_rental(request, rental_id), customer=access.person(request.user))
    except NotFound as error:
        return error_page(request, error)
    except DomainError as error:
        messages.error(request, say(error))
    return redirect("carts:rental-detail", rental_id)


@never_cache
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """What this person rented."""
    rows = list(selectors.own_rentals(request.user)[:100]) if request.user.is_authenticated else []
    context = {
        "masked_phone": request.user.masked_phone if request.user.is_authenticated else "",
        "next": "/me/",
        "rentals": [
            {
                "cart_number": row.cart.cart_number,
                "branch_name": row.branch.name,
                "start_time": row.start_time or row.created_at,
                "actual_return": row.actual_return,
                "badge_kind": presentation.rental_row(row).badge_kind,
                "badge_word": row.get_status_display(),
                "url": reverse("carts:rental-detail", args=[row.pk]),
            }
            for row in rows
        ],
    }
    # A list has one clock: that of the shop last rented at.
    with timezone.override(rows[0].branch.time_zone if rows else None):
        return render(request, "carts/customer_history.html", context)


def _own_rental(request: HttpRequest, rental_id: UUID) -> Rental:
    found = selectors.own_rentals(request.user).filter(pk=rental_id).first()
    if found is None:
        raise NotFound
    return found


def _branch(branch: Branch) -> dict[str, str]:
    return {"name": branch.name, "chain_name": branch.chain.name}
