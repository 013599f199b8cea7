"""“May X do Y to Z, and why”: a page whose question is all in its address."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from core.errors import NotFound
from core.views import error_page
from tenants import access, directory
from tenants.explain import explain, people_who_may
from tenants.kinds import kinds
from tenants.models import User
from tenants.permission_words import groups, permission_words
from tenants.questions import Question, question_of
from tenants.reasons import ReasonKind

_AGAINST = {
    ReasonKind.GRANT: "ok",
    ReasonKind.OWN: "ok",
    ReasonKind.ELSEWHERE: "info",
    ReasonKind.SEEN_AS: "info",
    ReasonKind.READ_ONLY: "warn",
    ReasonKind.NO_SECOND_FACTOR: "warn",
    ReasonKind.RAN_OUT: "warn",
    ReasonKind.TAKEN: "warn",
}
MOST_PEOPLE = 12


@never_cache
@require_safe
@login_required
def access_page(request: HttpRequest) -> HttpResponse:
    """Choose a person, a permission and a thing; read the answer with its reasons, and who else may."""
    asker = access.person(request.user)
    try:
        asked = question_of(asker, request.GET)
    except NotFound as error:
        return error_page(request, error)
    about_others = bool(access.may(asker, "grants:view"))
    context: dict[str, Any] = {
        "asked": asked,
        "itself": asked.person.pk == asker.pk,
        "about_others": about_others,
        "permissions": groups(),
        "permission_words": permission_words(asked.permission) if asked.permission else "",
        "kinds": list(kinds().values()),
        **_searches(request, asker, asked, about_others),
    }
    if asked.permission and (asked.thing is not None or "anywhere" in request.GET):
        context |= _answer(asker, asked, about_others)
    return render(request, "tenants/access.html", context)


def _answer(asker: User, asked: Question, about_others: bool) -> dict[str, Any]:
    told = explain(asked.person, asked.permission, asked.thing, asker=asker)
    reasons = [
        {"text": text, "kind": _AGAINST.get(reason.kind, "bad")}
        for reason, text in zip(told.reasons, told.sentences(), strict=True)
    ]
    others = people_who_may(asked.permission, asked.thing, asker=asker) if asked.thing and about_others else None
    return {"answer": {"allowed": told.allowed, "reasons": reasons}, "others": others}


def _searches(request: HttpRequest, asker: User, asked: Question, about_others: bool) -> dict[str, Any]:
    """What the two search fields found, as choices that lead to the next address."""
    who = _term(request, "person_q") if about_others else ""
    what = _term(request, "thing_q")
    found_people: list[User] = []
    if who:
        team = directory.people(asker, directory.Wanted(search=who))[:MOST_PEOPLE]
        customers = directory.people(asker, directory.Wanted(search=who, role="customer"))[:MOST_PEOPLE]
        found_people = list({person.pk: person for person in (*team, *customers)}.values())[:MOST_PEOPLE]
    found_things = asked.kind.search(request, asker, what) if asked.kind and asked.thing is None else []
    return {"person_q": who, "thing_q": what, "found_people": found_people, "found_things": found_things}


def _term(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\x00", "").strip()[:100]
