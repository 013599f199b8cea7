"""The site below `/admin/`: who gets in, and its search."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from core.admin.search import find

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite as ThemedSite
else:
    from unfold.sites import UnfoldAdminSite as ThemedSite


class BackOfficeSite(ThemedSite):
    """Platform staff only. Whoever is signed in as somebody else gets 403; nobody signs in here but at the one page."""

    index_title = _("Overview")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Guard a view; strangers who are signed in are refused rather than sent to sign in again."""
        inner = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            leaving = request.path == reverse("admin:logout", current_app=self.name)
            if request.user.is_authenticated and not self.has_permission(request) and not leaving:
                raise PermissionDenied
            response: HttpResponse = inner(request, *args, **kwargs)
            return response

        return guarded

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """The theme's, without the colours it would write into the page as a style: `admin.css` has them."""
        return {**super().each_context(request), "colors": None}

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The product has one sign-in page, where tries are limited."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        target = request.GET.get("next", "")
        own = target.startswith("/") and not target.startswith("//")
        return redirect_to_login(target if own else reverse("admin:index"), settings.LOGIN_URL)

    # Passwords are changed on one page, where tries are limited and every session and token of theirs ends.
    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # type: ignore[override]  # no page
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # type: ignore[override]  # no page
        return redirect("account_change_password")

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """What the command palette asks for while somebody types. Nothing is cached: rights may have changed."""
        term = request.GET.get("s", "").strip()[:100]
        if not term:
            return HttpResponse()
        results = find(self, request, term)
        paginator = Paginator(results, max(len(results), 1))
        kind = "command" if "extended" in request.GET else "search"
        context = {"page_obj": paginator, "results": paginator.page(1), "page_counter": 0, "execution_time": 0}
        return TemplateResponse(
            request, f"unfold/helpers/{kind}_results.html", context, headers={"HX-Trigger": "search"}
        )
