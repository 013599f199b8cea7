"""The people of a tenant: who holds what, given and taken. Every look-up starts from whoever asks."""

from collections.abc import Callable, Collection, Iterator
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.errors import DomainError, InvalidInput, NotAllowed, NotFound, Text
from core.exports import KINDS, Column, export_response
from core.keys import key_of_text
from core.views import error_page, say
from tenants import access, directory
from tenants.directory import Wanted
from tenants.enums import NO_WAY_IN, RoleCode
from tenants.models import Grant, Role, User
from tenants.people_forms import GiveRoleForm, in_place, place_choices
from tenants.services import deactivate_person, grant_role, reactivate_person, revoke_grant
from tenants.services.audit import note_people_export
from tenants.services.people import GIVES, home_of

PAGE = 25
MOST_INVITED = 200
CHUNK = 500
MOST_EXPORTED = 20_000
CLOSES = "users:change"
STATES = ("open", "closed", "no-factor")


@never_cache
@require_safe
@login_required
def person_list(request: HttpRequest) -> HttpResponse:
    """Whoever holds something where the asker may see it, and who is invited; all of the view is in the address."""
    asker = access.person(request.user)
    if not access.may(asker, "users:view"):
        return error_page(request, NotFound())
    wanted = wanted_of(request.GET)
    page = Paginator(directory.people(asker, wanted), PAGE).get_page(request.GET.get("page"))
    contact = directory.contacts(asker, page)
    found = directory.places(asker, "grants:view")
    invitations = list(directory.invitations_waiting(asker)[: MOST_INVITED + 1])
    context = {
        "page": page,
        "rows": [_row(person, contact) for person in page],
        "wanted": wanted,
        "roles": Role.objects.exclude(code=RoleCode.SUPPORT_ACCESS),
        "places": place_choices(found),
        "place_value": request.GET.get("place", ""),
        "states": [("open", _("Open")), ("no-factor", _("Without a second factor")), ("closed", _("Closed"))],
        "sorts": [
            {"key": key, "label": label, "down": wanted.sort == key, "now": wanted.sort.removeprefix("-") == key}
            for key, label in (("name", _("Person")), ("seen", _("Last seen")), ("since", _("Since")))
        ],
        "filters": request.GET.urlencode(),
        "narrowed": bool(wanted.search or wanted.role or wanted.place or wanted.state),
        "invitations": invitations[:MOST_INVITED],
        "more_invited": len(invitations) > MOST_INVITED,
        "may_invite": access.may(asker, GIVES),
    }
    return render(request, "tenants/people.html", context)


def wanted_of(given: QueryDict) -> Wanted:
    """What an address asks for; nonsense counts as nothing."""
    state, sort = given.get("state", ""), given.get("sort", "name")
    return Wanted(
        search=given.get("q", "").replace("\x00", "").strip()[:100],
        role=given.get("role", "")[:40],
        place=key_of_text(given.get("place", "").rpartition(":")[2]),
        state=state if state in STATES else "",
        sort=sort if sort.removeprefix("-") in directory.SORTS else "name",
    )


def _row(person: Any, contacts: Collection[UUID]) -> dict[str, Any]:
    grants = list(person.seen_grants)
    return {"person": person, **_known_by(person, grants, person.pk in contacts), **_state(person), "grants": grants}


def _known_by(person: User, grants: list[Grant], contact: bool) -> dict[str, str]:
    """Colleagues are known by their address; a customer's, and every number in full, to those who may contact them."""
    colleague = any(grant.role.code != RoleCode.CUSTOMER for grant in grants)
    email = (person.email or "") if contact or colleague else ""
    return {
        "title": person.name or email or person.masked_phone or gettext("No name"),
        "email": email,
        "phone": (person.phone or "") if contact else person.masked_phone,
    }


def _state(person: Any) -> dict[str, str]:
    if not person.is_active:
        return {"kind": "bad", "word": gettext("Closed")}
    if not person.has_factor and any(grant.role.code != RoleCode.CUSTOMER for grant in person.seen_grants):
        return {"kind": "warn", "word": gettext("No second factor")}
    return {"kind": "ok", "word": gettext("Open")}


Shown = dict[str, Any]
COLUMNS: tuple[Column[Shown], ...] = (
    Column(_("Name"), lambda row: row["person"].name),
    Column(_("E-mail"), lambda row: row["email"]),
    Column(_("Phone"), lambda row: row["phone"]),
    Column(_("Roles"), lambda row: "; ".join(f"{each.role.title}: {_place(each)}" for each in row["grants"])),
    Column(_("Account"), lambda row: row["word"]),
    Column(_("Last seen (UTC)"), lambda row: row["person"].last_seen),
    Column(_("Since (UTC)"), lambda row: row["person"].created_at),
)


@require_POST
@login_required
def person_export(request: HttpRequest) -> HttpResponseBase:
    """The list as the address narrows it, at most 20,000, as CSV or XLSX; told in the audit."""
    asker = access.person(request.user)
    format = request.POST.get("format", "")
    if not access.may(asker, "users:view"):
        return error_page(request, NotFound())
    if format not in KINDS:
        return error_page(request, InvalidInput())
    try:
        note_people_export(actor=asker, format=format, place=home_of(asker))
    except DomainError as error:
        return error_page(request, error)
    rows = _exported(asker, wanted_of(request.GET))
    return export_response(name="people", kind=format, columns=COLUMNS, rows=rows)


def _exported(asker: User, wanted: Wanted) -> Iterator[Shown]:
    rows = directory.people(asker, wanted)
    for start in range(0, MOST_EXPORTED, CHUNK):
        chunk = list(rows[start : start + CHUNK])
        contact = directory.contacts(asker, chunk)
        yield from (_row(person, contact) for person in chunk)
        if len(chunk) < CHUNK:
            return


def _place(grant: Grant) -> str:
    place = grant.branch or grant.chain
    return place.name if place else str(grant.scope.label)


@never_cache
@require_safe
@login_required
def person(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """One person: what they hold where the asker may see it, and what can be done about it."""
    asker = access.person(request.user)
    try:
        return _person_page(request, _visible(asker, user_id), GiveRoleForm(asker=asker))
    except NotFound as error:
        return error_page(request, error)


def _visible(asker: User, user_id: UUID) -> User:
    found = directory.people_visible_to(asker).filter(pk=user_id).first()
    if found is None:
        raise NotFound
    return found


def _person_page(request: HttpRequest, found: User, form: Form, *, problem: str = "") -> HttpResponse:
    asker = access.person(request.user)
    shown: Any = directory.with_figures(User.objects.filter(pk=found.pk)).get()
    shown.seen_grants = list(directory.grants_visible_to(asker).filter(user=found))
    itself = asker.pk == found.pk
    may_close = not itself and _may_close(asker, found) and access.outranks(asker, found, CLOSES)
    context = {
        **_row(shown, directory.contacts(asker, [found])),
        "itself": itself,
        "grants": [
            {"grant": grant, "may_take": _may_take(asker, grant), "is_way_in": grant.role.code not in NO_WAY_IN}
            for grant in shown.seen_grants
        ],
        "may_give": access.may(asker, GIVES) and found.is_active,
        "may_act": not itself and found.is_active and access.may_act_as(asker, found),
        "may_explain": itself or access.may(asker, "grants:view"),
        "may_close": may_close and found.is_active and not asker.powers.behind,
        "may_reopen": may_close and not found.is_active and found.erased_at is None,
        "form": form,
        "problem": problem,
    }
    return render(request, "tenants/person.html", context, status=400 if form.errors or problem else 200)


def _may_close(asker: User, found: User) -> bool:
    return bool(access.may(asker, CLOSES, found))


def _may_take(asker: User, grant: Grant) -> bool:
    allowed = access.may(asker, "grants:delete", grant)
    return bool(allowed) and access.holds_all(asker, grant.role.permissions, grant.branch or grant.chain)


@require_POST
@login_required
def person_close(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Close somebody's account; they are signed out everywhere."""
    return _change_account(request, user_id, deactivate_person, _("The account is closed."))


@require_POST
@login_required
def person_reopen(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Open somebody's account again; they sign in anew."""
    return _change_account(request, user_id, reactivate_person, _("The account is open again."))


def _change_account(request: HttpRequest, user_id: UUID, change: Callable[..., None], done: Text) -> HttpResponse:
    asker = access.person(request.user)
    try:
        found = _visible(asker, user_id)
        if not _may_close(asker, found):
            raise NotAllowed
    except DomainError as error:
        return error_page(request, error)
    try:
        change(user=found, actor=asker)
    except DomainError as error:
        return _person_page(request, found, GiveRoleForm(asker=asker), problem=say(error))
    messages.success(request, str(done))
    return redirect("people:person-detail", user_id)


@require_POST
@login_required
def grant_give(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Give a role to somebody who is here already."""
    asker = access.person(request.user)
    form = GiveRoleForm(request.POST, asker=asker)
    try:
        found = _visible(asker, user_id)
        if not access.may(asker, GIVES):
            return error_page(request, NotAllowed())
        if not form.is_valid():
            return _person_page(request, found, form)
        given = form.cleaned_data
        place = in_place(given["place"])
        grant_role(user=found, role=given["role"].code, **place, expires_at=given["until"], actor=asker)
    except NotFound as error:
        return error_page(request, error)
    except DomainError as error:
        form.add_error(None, say(error))
        return _person_page(request, found, form)
    messages.success(request, _("The role is given. It counts from now on."))
    return redirect("people:person-detail", user_id)


@require_POST
@login_required
def grant_take(request: HttpRequest, user_id: UUID, grant_id: int) -> HttpResponse:
    """Take a role from somebody; of the back office, they are signed out everywhere."""
    asker = access.person(request.user)
    seen = access.visible(asker, Grant.objects.select_related("role", "chain", "branch"), "grants:view")
    grant = seen.filter(pk=grant_id, user=user_id).first()
    try:
        if grant is None:
            raise NotFound
        if not access.may(asker, "grants:delete", grant):
            raise NotAllowed
        revoke_grant(grant=grant, actor=asker)
    except DomainError as error:
        return error_page(request, error)
    own = user_id == access.person(getattr(request, "signed_in", asker)).pk
    if own and grant.role.code not in NO_WAY_IN:
        logout(request)  # every session of theirs has ended, this one too
        messages.success(request, _("Your role is taken, and you are signed out everywhere."))
        return redirect("tenants:home")
    messages.success(request, _("The role is taken. It does not count any more."))
    if directory.people_visible_to(asker).filter(pk=user_id).exists():
        return redirect("people:person-detail", user_id)
    return redirect("people:person-list")
