"""Customer and manager pages."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from carts.views import control, customer


class PublicCodeConverter(StringConverter):
    """What may stand in a cart's QR code; nothing else is looked up."""

    regex = "[2-9a-z]{10,12}"


register_converter(PublicCodeConverter, "public_code")

app_name = "carts"
urlpatterns = [
    path("s/<public_code:public_code>", customer.cart, name="cart"),
    path("s/<public_code:public_code>/phone", customer.phone, name="phone"),
    path("s/<public_code:public_code>/code", customer.code, name="code"),
    path("s/<public_code:public_code>/resend", customer.resend, name="resend"),
    path("s/<public_code:public_code>/unlock", customer.unlock, name="unlock"),
    path("r/<uuid:rental_id>", customer.rental, name="rental-detail"),
    path("r/<uuid:rental_id>/return", customer.rental_return, name="rental-return"),
    path("r/<uuid:rental_id>/did-not-open", customer.rental_did_not_open, name="rental-did-not-open"),
    path("me/", customer.history, name="customer-history"),
    path("control/", control.branch_list, name="branch-list"),
    path("control/branches/<uuid:branch_id>", control.branch, name="branch-detail"),
    path("control/branches/<uuid:branch_id>/posters", control.posters, name="branch-posters"),
    path("control/branches/<uuid:branch_id>/carts/<uuid:cart_id>", control.cart, name="cart-detail"),
    path("control/branches/<uuid:branch_id>/carts/<uuid:cart_id>/unlock", control.cart_unlock, name="cart-unlock"),
    path("control/branches/<uuid:branch_id>/carts/<uuid:cart_id>/lock", control.cart_lock, name="cart-lock"),
    path(
        "control/branches/<uuid:branch_id>/carts/<uuid:cart_id>/maintenance",
        control.cart_maintenance,
        name="cart-maintenance",
    ),
    path("control/branches/<uuid:branch_id>/carts/<uuid:cart_id>/restore", control.cart_restore, name="cart-restore"),
    path("control/branches/<uuid:branch_id>/rentals/<uuid:rental_id>/end", control.rental_end, name="rental-end"),
]
