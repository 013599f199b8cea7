"""allauth's views with our rules around them: refusals as our pages, and limits."""

from collections.abc import Callable
from functools import wraps

from allauth.mfa.webauthn.internal.auth import STATE_SESSION_KEY
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from core.addresses import client_address
from core.errors import DomainError
from core.views import error_page
from tenants import access
from tenants.sign_in_limits import take_password_try, take_sign_up

View = Callable[..., HttpResponse]


def following(request: HttpRequest, default: str) -> str:
    """Where `next` leads, when that is within this site."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(asked, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    # Without the slash it would be read as the name of a page.
    return asked if safe and asked.startswith("/") else default


def way_in(view: View) -> View:
    """An allauth view; what its adapter and its forms refuse is shown as our page."""

    @never_cache
    @wraps(view)
    def shown(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        # Whether the page has a button for Google.
        request.offers_google = bool(settings.GOOGLE_CLIENT_ID)  # type: ignore[attr-defined]
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            return error_page(request, error)

    return shown


def sign_up(view: View) -> View:
    """Each account that is asked for counts against the address it is asked from."""

    @way_in
    @wraps(view)
    def counted(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            take_sign_up(address=client_address(request))
        return view(request, *args, **kwargs)

    return counted


def change_password(view: View) -> View:
    """The old password that is asked for is a try at it, like any other."""

    @way_in
    @login_required
    @wraps(view)
    def counted(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            take_password_try(name=access.person(request.user).email or "", address=client_address(request))
        return view(request, *args, **kwargs)

    return counted


def sign_out(view: View) -> View:
    """Nothing that was begun is left for what begins next: no challenge that a key could answer."""

    @way_in
    @wraps(view)
    def cleared(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST":
            request.session.pop(STATE_SESSION_KEY, None)
        return view(request, *args, **kwargs)

    return cleared


def with_google(view: View) -> View:
    """A view that is there only where Google is set up."""

    @way_in
    @wraps(view)
    def there(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not settings.GOOGLE_CLIENT_ID:
            raise Http404
        return view(request, *args, **kwargs)

    return there
