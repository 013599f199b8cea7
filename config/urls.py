"""Every address of the product; each app brings its own list."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from core.health import healthz
from tenants.views.profile import set_language

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="carts:branch-list"), name="home"),
    path("healthz", healthz, name="healthz"),
    path("i18n/setlang/", set_language, name="set_language"),
    path("auth/", include("tenants.urls")),
    path("control/", include("tenants.control_urls")),
    path("", include("carts.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("config.api")),
    path("api/schema", SpectacularAPIView.as_view(), name="api-schema"),
    # A page for people: it has nothing to answer OPTIONS with.
    path(
        "api/docs",
        SpectacularSwaggerSplitView.as_view(url_name="api-schema", http_method_names=["get", "head"]),
        name="api-docs",
    ),
]

handler400 = "core.views.bad_request"
handler403 = "core.views.permission_denied"
handler404 = "core.views.page_not_found"
handler500 = "core.views.server_error"
