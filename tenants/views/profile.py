"""What people say about themselves: their name, and the language of pages and mails."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override
from django.views.decorators.http import require_http_methods
from django.views.i18n import LANGUAGE_QUERY_PARAMETER
from django.views.i18n import set_language as choose_language

from core.errors import DomainError, InvalidInput
from core.views import error_page
from tenants import access
from tenants.enums import Languages
from tenants.models import User
from tenants.services import update_profile
from tenants.views.ways_in import way_in


class ProfileForm(forms.Form):
    """A name, which may be empty, and a language."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=255,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        help_text=gettext_lazy("Those who manage the places where you have a role see it."),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        choices=Languages.choices,
        help_text=gettext_lazy("Of pages and mails."),
    )


@require_http_methods(["GET", "POST"])
@login_required
@way_in
def profile(request: HttpRequest) -> HttpResponse:
    """One's own name and language."""
    user = access.person(request.user)
    form = ProfileForm(request.POST or None, initial={"name": user.name, "language": user.language})
    if form.is_valid():
        try:
            update_profile(user=user, **form.cleaned_data)
        except InvalidInput as error:
            for field, texts in error.errors.items():
                form.add_error(field if field in form.fields else None, [str(text) for text in texts])
        else:
            return _saved(request, user)
    return render(request, "tenants/profile.html", {"form": form}, status=400 if form.errors else 200)


def _saved(request: HttpRequest, user: User) -> HttpResponse:
    with override(user.language):
        messages.success(request, _("Your name and language are saved."))
    response = redirect("tenants:security")
    # Pages follow, as after the switch: the field has its name.
    response.cookies.update(choose_language(request).cookies)
    return response


def set_language(request: HttpRequest) -> HttpResponseBase:
    """Django's switch of the page's language. That of one's mails follows, where one is signed in as oneself."""
    language, user = request.POST.get(LANGUAGE_QUERY_PARAMETER, ""), request.user
    if language in Languages.values and isinstance(user, User) and language != user.language and _is_themselves(user):
        try:
            update_profile(user=user, name=user.name, language=language)
        except DomainError as error:
            return error_page(request, error)
    return choose_language(request)


def _is_themselves(user: User) -> bool:
    """Neither acted as by somebody, nor looking at the product as a role."""
    return user.powers.behind is None and not user.powers.read_only
