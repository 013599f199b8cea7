"""People: known by e-mail or phone, never by a password set here."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.buttons import Button, Link, Press, ShownOnce
from core.admin.forms import AnyModelForm
from core.admin.links import state_column
from core.admin.requester import may_contact, requester
from core.errors import InvalidInput
from tenants import access
from tenants.admin.grant import GrantInline, give
from tenants.directory import colleagues, with_figures
from tenants.enums import RoleCode
from tenants.models import Grant, User
from tenants.phones import normalise_phone
from tenants.services import (
    create_machine_user,
    create_person,
    create_sign_in_link,
    deactivate_person,
    erase_person,
    reactivate_person,
    revoke_grant,
    update_person,
)
from tenants.services.links import LIFETIME
from tenants.services.second_factor import owns_second_factor, reset_second_factor
from tenants.views.my_data import as_file


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


def _export(press: Press) -> HttpResponseBase:
    return as_file(press.thing, actor=press.actor)


def _erase(press: Press) -> None:
    erase_person(user=press.thing, actor=press.actor)


MASKS = {"phone": "masked_phone", "email": "masked_email"}


def _masked(names: Any, masked: Collection[str]) -> Any:
    """Names of fields, in whatever groups, with the masks of some."""
    if isinstance(names, str):
        return MASKS[names] if names in masked else names
    return tuple(_masked(name, masked) for name in names)


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

    def clean_client_id(self) -> str | None:
        client_id = (self.cleaned_data["client_id"] or "").strip() or None
        if client_id and (self.cleaned_data.get("email") or self.cleaned_data.get("phone")):
            raise forms.ValidationError(_("A program has no address and no number. Leave them empty."))
        return client_id


class KindFilter(admin.SimpleListFilter):
    """Whom one looks for: customers are many and seldom meant."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("team", _("Staff and managers")),
            ("customers", _("Customers")),
            ("programs", _("Programs")),
            ("nothing", _("Without a role")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        held = Grant.objects.filter(user=OuterRef("pk"))
        if self.value() == "team":
            return queryset.filter(Exists(held.exclude(role__code=RoleCode.CUSTOMER)))
        if self.value() == "customers":
            return queryset.filter(Exists(held.filter(role__code=RoleCode.CUSTOMER)))
        if self.value() == "programs":
            return queryset.filter(client_id__isnull=False)
        return queryset.filter(~Exists(held)) if self.value() == "nothing" else queryset


class FactorFilter(admin.SimpleListFilter):
    """Who has set up a second factor."""

    title = _("second factor")
    parameter_name = "factor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Set up")), ("no", _("Not set up"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        wanted = {"yes": True, "no": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(Q(("has_factor", wanted)))


@admin.register(User)
class UserAdmin(ScopedAdmin):
    """Everyone: staff, managers, customers. Whoever may do more than the one who looks can't be changed by them."""

    resource = "users"
    section, place, icon = Section.PEOPLE, 10, "group"
    form = UserForm
    list_display = ("person", "email", "phone", "state", "factor", "last_seen", "created_at")
    list_display_links = ("person",)
    list_filter = (KindFilter, "is_active", FactorFilter, "language", "grants__role", "created_at")
    search_fields = ("email", "phone", "name")
    contact_lookups = ("email", "phone")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("name", ("email", "phone"), "language")}),
        (_("Account"), {"fields": (("state", "factor"), ("last_seen", "created_at"))}),
    )
    readonly_fields = ("masked_email", "masked_phone", "state", "factor", "last_seen", "created_at")
    add_fieldsets = (
        (None, {"fields": ("name", ("email", "phone"), "language")}),
        (_("Or a program"), {"fields": ("client_id",)}),
    )
    inlines = (GrantInline,)
    actions = None
    links = (
        Link(_("Their page"), lambda user: reverse("people:person-detail", args=[user.pk]), "person_search"),
        Link(_("What may they do?"), lambda user: f"{reverse('people:access')}?person={user.pk}", "key", "grants:view"),
        Link(
            _("Act as them"),
            lambda user: reverse("tenants:act-as", args=[user.pk]) if user.is_active else "",
            "supervisor_account",
            access.IMPERSONATES,
        ),
    )
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
                "Their app, keys and recovery codes end, and they are signed out everywhere."
                " Be sure that it is them who ask."
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
            when=lambda user: not user.is_active and user.erased_at is None,
        ),
        Button(
            name="export",
            label=_("Download their data"),
            permission="users:export",
            run=_export,
            icon="download",
            question=_(
                "Everything that is kept about them, as a file for them alone. The audit says that you took it."
            ),
            when=lambda user: user.erased_at is None,
        ),
        Button(
            name="erase",
            label=_("Erase this person"),
            permission="users:erase",
            run=_erase,
            icon="delete_forever",
            variant="danger",
            question=_(
                "Name, addresses, number and ways in are gone for good; what they did stays. Nobody can undo this."
            ),
            done=_("The person is erased."),
            when=lambda user: user.erased_at is None,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = with_figures(super().get_queryset(request))
        told: QuerySet[Any] = rows.annotate(is_colleague=colleagues(access.person(request.user)))
        return told

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An address is a way to sign in, so changing one needs as much right as signing in as that person."""
        allowed = super().has_change_permission(request, obj)
        if obj is None:
            return allowed
        return allowed and obj.erased_at is None and access.outranks(access.person(request.user), obj, "users:change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Accounts are closed, not deleted: rentals tell of them."""
        return False

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Who holds a role is told to those who may see roles: a filter in an address tells it as well as a box."""
        hidden = () if requester(request).may_everywhere("grants:view") else ("grants__role",)
        return [each for each in super().get_list_filter(request) if each not in hidden]

    def get_list_display(self, request: HttpRequest) -> Any:
        return _masked(self.list_display, () if may_contact(request) else MASKS)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A number, and an address that is no colleague's, in full only for who needs it: others don't change it."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or may_contact(request, obj):
            return fieldsets
        masked = ("phone",) if obj.is_colleague else MASKS
        return [(title, {**about, "fields": _masked(about["fields"], masked)}) for title, about in fieldsets]

    @admin.display(description=_("phone number"))
    def masked_phone(self, user: User) -> str:
        return user.masked_phone or "–"

    @admin.display(description=_("e-mail address"))
    def masked_email(self, user: Any) -> str:
        return (user.email if user.is_colleague else user.masked_email) or "–"

    @admin.display(description=_("person"), ordering="name")
    def person(self, user: User) -> str:
        return user.name or str(user)

    @state_column(description=_("account"), labels={"open": "success", "closed": "danger", "erased": "info"})
    def state(self, user: User) -> tuple[str, Any]:
        if user.erased_at:
            return "erased", _("Erased")
        return ("open", _("Open")) if user.is_active else ("closed", _("Closed"))

    @state_column(description=_("second factor"), labels={"yes": "success", "no": "warning"})
    def factor(self, user: Any) -> tuple[str, Any]:
        return ("yes", _("Set up")) if user.has_factor else ("no", _("Not set up"))

    @admin.display(description=_("last seen"), ordering="last_seen")
    def last_seen(self, user: Any) -> datetime | None:
        found: datetime | None = user.last_seen
        return found

    def describe(self, obj: User) -> str:
        parts = (obj.name, obj.masked_email, obj.masked_phone, obj.client_id)
        return " · ".join(part for part in parts if part) or str(obj)

    def save_model(self, request: HttpRequest, obj: User, form: AnyModelForm, change: bool) -> None:
        actor = access.person(request.user)
        if change:
            update_person(user=obj, actor=actor, **{"email": obj.email, "phone": obj.phone, **form.cleaned_data})
            return
        given = {**form.cleaned_data}
        client_id = given.pop("client_id")
        if client_id:
            obj.pk = create_machine_user(name=given["name"], client_id=client_id, actor=actor).pk
        else:
            obj.pk = create_person(actor=actor, **given).pk

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Grants that were ticked off end, those that were typed are given; others are shown, not edited."""
        actor = access.person(request.user)
        formset.save(commit=False)
        for grant in formset.deleted_objects:
            revoke_grant(grant=grant, actor=actor)
        given = [each for each in formset.extra_forms if each.has_changed() and not formset._should_delete_form(each)]
        formset.new_objects = [give(each, actor) for each in given]
        formset.changed_objects = []
