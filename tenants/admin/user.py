"""People: known by e-mail or phone, never by a password set here."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.buttons import Button, Press, ShownOnce
from core.admin.forms import AnyModelForm
from core.admin.links import state_column
from core.errors import InvalidInput
from tenants import access
from tenants.admin.grant import GrantInline, give
from tenants.models import User
from tenants.phones import normalise_phone
from tenants.services import (
    create_person,
    create_sign_in_link,
    deactivate_person,
    reactivate_person,
    revoke_grant,
    update_person,
)
from tenants.services.links import LIFETIME
from tenants.services.second_factor import owns_second_factor, reset_second_factor


def _deactivate(press: Press) -> None:
    deactivate_person(user=press.thing, actor=press.actor)


def _reactivate(press: Press) -> None:
    reactivate_person(user=press.thing, actor=press.actor)


def _reset_second_factor(press: Press) -> None:
    reset_second_factor(user=press.thing, actor=press.actor)


def _make_link(press: Press) -> ShownOnce:
    """A link that signs this person in once, for whoever can't get in another way."""
    user: User = press.thing
    if access.is_platform_staff(user):
        target = reverse("admin:index")
    else:
        target = "/control/" if access.is_manager(user) else "/me/"
    token = create_sign_in_link(user=user, next_path=target, actor=press.actor)
    url = f"{settings.PUBLIC_URL.rstrip('/')}{reverse('tenants:sign-in-link', args=[token])}"
    context = {"title": _("One-time sign-in link"), "url": url, "expires_at": timezone.now() + LIFETIME}
    return ShownOnce("admin/tenants/sign_in_link.html", context)


class UserForm(AnyModelForm):
    """One spelling for each address and number."""

    def clean_email(self) -> str | None:
        email = self.cleaned_data["email"]
        return email.lower() if email else None

    def clean_phone(self) -> str | None:
        phone = self.cleaned_data["phone"]
        if not phone or phone == self.instance.phone:
            return phone or None
        try:
            return normalise_phone(phone)
        except InvalidInput as error:
            raise forms.ValidationError([str(text) for text in error.errors["phone"]]) from None


@admin.register(User)
class UserAdmin(ScopedAdmin):
    """Everyone: staff, managers, customers. Whoever may do more than the one who looks can't be changed by them."""

    resource = "users"
    section, place, icon = Section.PEOPLE, 10, "group"
    form = UserForm
    list_display = ("person", "email", "phone", "language", "state", "created_at")
    list_display_links = ("person",)
    list_filter = ("is_active", "language", "grants__role", "created_at")
    search_fields = ("email", "phone", "name")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("name", ("email", "phone"), "language")}),
        (_("Account"), {"fields": ("state", ("last_login", "created_at"))}),
    )
    readonly_fields = ("state", "last_login", "created_at")
    add_fieldsets = ((None, {"fields": ("name", ("email", "phone"), "language")}),)
    inlines = (GrantInline,)
    actions = None
    buttons = (
        Button(
            name="sign-in-link",
            label=_("Make a sign-in link"),
            permission="users:link",
            run=_make_link,
            icon="link",
            question=_("Whoever opens the link is signed in as this person, once. Hand it to nobody else."),
            when=lambda user: user.is_active,
        ),
        Button(
            name="reset-second-factor",
            label=_("Reset the second factor"),
            permission="users:link",
            run=_reset_second_factor,
            icon="lock_reset",
            question=_(
                "Their app, keys and recovery codes end, and they are signed out everywhere. Be sure that it is them who ask."
            ),
            done=_("The second factor is reset. They set up a new one when they sign in next."),
            when=owns_second_factor,
        ),
        Button(
            name="deactivate",
            label=_("Deactivate"),
            permission="users:change",
            run=_deactivate,
            icon="person_off",
            variant="danger",
            question=_("Sessions and tokens end at once. Rentals that run go on."),
            done=_("The account is closed."),
            when=lambda user: user.is_active,
        ),
        Button(
            name="reactivate",
            label=_("Reactivate"),
            permission="users:change",
            run=_reactivate,
            icon="person",
            done=_("The account is open again."),
            when=lambda user: not user.is_active,
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An address is a way to sign in, so changing one needs as much right as signing in as that person."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or (access.outranks(access.person(request.user), obj)))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Accounts are closed, not deleted: rentals tell of them."""
        return False

    @admin.display(description=_("person"), ordering="name")
    def person(self, user: User) -> str:
        return user.name or str(user)

    @state_column(description=_("account"), labels={"open": "success", "closed": "danger"})
    def state(self, user: User) -> tuple[str, Any]:
        return ("open", _("Open")) if user.is_active else ("closed", _("Closed"))

    def describe(self, obj: User) -> str:
        return " · ".join(part for part in (obj.name, obj.email, obj.phone) if part)

    def save_model(self, request: HttpRequest, obj: User, form: AnyModelForm, change: bool) -> None:
        actor = access.person(request.user)
        if change:
            update_person(user=obj, actor=actor, **form.cleaned_data)
        else:
            obj.pk = create_person(actor=actor, **form.cleaned_data).pk

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Grants that were ticked off end, those that were typed are given; others are shown, not edited."""
        actor = access.person(request.user)
        formset.save(commit=False)
        for grant in formset.deleted_objects:
            revoke_grant(grant=grant, actor=actor)
        given = [each for each in formset.extra_forms if each.has_changed() and not formset._should_delete_form(each)]
        formset.new_objects = [give(each, actor) for each in given]
        formset.changed_objects = []
