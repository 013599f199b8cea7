"""Base classes of every admin: what is shown, offered and allowed comes from the person's grants.

A class names its `resource`; `resource:view|add|change|delete` decide. Deny by default: what nobody was granted is not
there, and another tenant's object is 404. Only platform staff get this far, and some of them hold grants on one chain.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.contrib.admin import FieldListFilter, ShowFacets
from django.contrib.admin.filters import RelatedFieldListFilter
from django.core.exceptions import FieldDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.paginator import InfinitePaginator

from core.admin.forms import OwnRowsFormSet
from core.admin.pages import ButtonPages
from core.admin.requester import may, may_contact, requester
from core.audit import hidden_fields
from core.audit_words import deed, job
from core.errors import DomainError
from core.keys import key_of_text
from core.models import AuditEntry, StateChange
from core.places import may_lie_somewhere
from core.transitions import IllegalTransition
from core.views import say

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin import StackedInline as ThemedStacked
    from django.contrib.admin import TabularInline as ThemedTabular
    from django.contrib.admin.options import BaseModelAdmin

    ThemedAdmin = ModelAdmin[Any]
    AnyAdmin = BaseModelAdmin[Any]
    Stacked = ThemedStacked[Any, Any]
    Tabular = ThemedTabular[Any, Any]
else:
    from unfold.admin import ModelAdmin as ThemedAdmin
    from unfold.admin import StackedInline as Stacked
    from unfold.admin import TabularInline as Tabular

    AnyAdmin = object

MOST_FILTER_CHOICES = 40
MOST_HISTORY = 200


class Section(models.TextChoices):
    """Groups of the side navigation, in their order."""

    SHOPS = "shops", _("Shops")
    CARTS = "carts", _("Carts")
    DEVICES = "devices", _("Devices")
    PEOPLE = "people", _("People")
    SYSTEM = "system", _("System")


class Scoped(AnyAdmin):
    """Rows, choices and permissions by grant; for admins and inlines alike."""

    resource: ClassVar[str]

    def allows(self, request: HttpRequest, action: str, thing: object = None) -> bool:
        """Whether the requester holds `resource:action`, on `thing` when one is given."""
        return may(request, f"{self.resource}:{action}", thing)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return requester(request).visible(super().get_queryset(request), f"{self.resource}:view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "delete", obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only what the requester may see can be chosen; nothing where the other model has no admin."""
        kwargs.setdefault("queryset", visible_rows(self.admin_site, db_field.remote_field.model, request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnly:
    """Nobody changes these by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def visible_rows(site: Any, model: type[models.Model], request: HttpRequest) -> QuerySet[Any]:
    """The rows of a model its admin would list for the requester, ready to be named; none without an admin."""
    admin = site._registry.get(model)
    if not isinstance(admin, ScopedAdmin):
        return model._default_manager.none()
    rows = admin.get_queryset(request)
    return rows.select_related(*admin.name_related) if admin.name_related else rows


class ScopedRelatedFilter(RelatedFieldListFilter):
    """Filter by a related object, offering only those the requester may see.

    Where there are too many to choose from, it shows only the one that a link from elsewhere has chosen.
    """

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        rows = visible_rows(model_admin.admin_site, field.remote_field.model, request)
        choices = list(rows[: MOST_FILTER_CHOICES + 1])
        if len(choices) > MOST_FILTER_CHOICES:
            choices = self._chosen(rows)
        return [(row.pk, str(row)) for row in choices]

    def _chosen(self, rows: QuerySet[Any]) -> list[Any]:
        wanted = self.lookup_val[-1:] if isinstance(self.lookup_val, list) else [self.lookup_val]
        try:
            return list(rows.filter(pk__in=[value for value in wanted if value]))
        except (ValueError, ValidationError):
            return []  # nonsense in the address; the list itself refuses it


FieldListFilter.register(lambda field: bool(field.remote_field), ScopedRelatedFilter, take_priority=True)


class ScopedAdmin(ButtonPages, Scoped, ThemedAdmin):
    """An admin of one model.

    `fixed_fields` can be chosen once, at creation; `in_global_search` lets the command palette look here;
    `name_related` are the relations that an object's name is made of; `contact_lookups` lead to numbers and
    addresses, which only those who may contact everybody can look for.
    """

    section: ClassVar[Section]
    place: ClassVar[int] = 50
    icon: ClassVar[str] = "table_rows"
    fixed_fields: ClassVar[Sequence[str]] = ()
    in_global_search: ClassVar[bool] = True
    name_related: ClassVar[Sequence[str]] = ()
    contact_lookups: ClassVar[Sequence[str]] = ()
    list_per_page = 50
    show_full_result_count = False
    compressed_fields = True
    warn_unsaved_form = True
    change_form_outer_before_template = "admin/scoped_before.html"
    change_form_outer_after_template = "admin/scoped_after.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), *(self.fixed_fields if obj else ())]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Where a new row lies is seen once its form was sent; what can lie nowhere is for those who add everywhere."""
        if not may_lie_somewhere(self.model):
            user = requester(request)
            return user.is_authenticated and user.may_everywhere(f"{self.resource}:add")
        return super().has_add_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        fields = super().get_search_fields(request)
        hidden = () if may_contact(request) else self.contact_lookups
        return [name for name in fields if name not in hidden]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Letter by letter, a filter in the address would tell a number or a password's hash as well as a page."""
        return not _leads_to_hidden(self.model, lookup) and super().lookup_allowed(lookup, value, request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """With NUL bytes and other nonsense in the address there is no such object either."""
        return None if "\x00" in object_id else super().get_object(request, object_id, from_field)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """A row is made or changed where the requester holds that: not where they may only look."""
        obj = super().save_form(request, form, change)
        if not self.allows(request, "change" if change else "add", obj):
            raise PermissionDenied
        return obj

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return _or_say(
            request, lambda: super(ScopedAdmin, self).changeform_view(request, object_id, form_url, extra_context)
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        view = super().delete_view
        return _or_say(request, lambda: view(request, object_id, extra_context))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        view = super().changelist_view
        return _or_say(request, lambda: view(request, extra_context))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the audit tells of it, to those who may read that, and every change of state whoever made it."""
        changes = StateChange.objects.none()
        obj = self.get_object(request, object_id)
        if obj is not None and isinstance(self.opts.pk, models.UUIDField):
            changes = StateChange.objects.filter(entity_id=obj.pk).order_by("-pk")[:MOST_HISTORY]
        told = {"audit_entries": self._audit_of(request, obj), "state_changes": changes}
        response: HttpResponse = super().history_view(request, object_id, {**(extra_context or {}), **told})
        return response

    def _audit_of(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        admin = self.admin_site._registry.get(AuditEntry)
        if obj is None or admin is None or not admin.has_view_permission(request):
            return []
        rows = admin.get_queryset(request).filter(entity=self.opts.label_lower, entity_id=str(obj.pk))
        return [
            {"entry": row, "who": row.who_name or job(row.actor_name) or row.actor_id, "what": deed(row.action).text}
            for row in rows.order_by("-pk")[:MOST_HISTORY]
        ]

    # The audit tells what was done, here and everywhere else. Django's own log would be a second one, which knows of
    # the admin alone, keeps people's names and can be changed.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return None


def _leads_to_hidden(model: "type[models.Model] | None", lookup: str) -> bool:
    """Whether a look-up comes to a field that is personal, encrypted or lets somebody in, here or of a relation."""
    for part in lookup.split(LOOKUP_SEP):
        if model is None:
            return False
        if part in hidden_fields(model):
            return True
        try:
            model = model._meta.get_field(part).related_model
        except FieldDoesNotExist:
            return False
    return False


def _or_say(request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
    """A page; or, when a service refuses, the same page anew with the reason."""
    try:
        return view()
    except DomainError as error:
        messages.error(request, say(error))
    except IllegalTransition:
        messages.error(request, _("This can't be done now."))
    return redirect(request.get_full_path())


class ReadOnlyAdmin(ReadOnly, ScopedAdmin):
    """To look at."""

    actions = None
    warn_unsaved_form = False


class LedgerAdmin(ReadOnlyAdmin):
    """A table that only grows: never counted, never searched through, newest first.

    `uuid_fields` are indexed and can be searched for one exact value.
    """

    paginator = InfinitePaginator
    show_facets = ShowFacets.NEVER
    ordering = ("-pk",)
    in_global_search = False
    uuid_fields: ClassVar[Sequence[str]] = ()

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [f"{name}__exact" for name in self.uuid_fields]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        wanted = key_of_text(search_term.strip())
        if wanted is None:
            messages.warning(request, _("Only a whole id can be searched for here."))
            return queryset.none(), False
        return queryset.filter(Q.create([(name, wanted) for name in self.uuid_fields], connector=Q.OR)), False

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> "Paginator[Any]":
        """Django pages an object's history through the same hook; that one is short and counted."""
        if getattr(queryset, "model", self.model) is not self.model:
            return Paginator(queryset, *args, **kwargs)
        return super().get_paginator(request, queryset, *args, **kwargs)


class ScopedTabular(Scoped, Tabular):
    """Rows of another model on an object's page."""

    formset = OwnRowsFormSet
    extra = 0
    hide_title = True


class ReadOnlyTabular(ReadOnly, ScopedTabular):
    """The same, to look at."""

    can_delete = False


class ReadOnlyStacked(ReadOnly, Scoped, Stacked):
    """One related row as a form, to look at."""

    formset = OwnRowsFormSet
    extra = 0
    hide_title = True
    can_delete = False
