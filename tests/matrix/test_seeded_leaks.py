"""The matrix can fail: one protection is taken out, and the cells that are about it turn red."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import QuerySet
from django.shortcuts import render
from django.utils import timezone
from django_filters.rest_framework import FilterSet

from carts.models import Cart, Rental
from core.admin.base import ScopedAdmin
from core.admin.forms import OwnRowsFormSet
from core.admin.pages import ButtonPages
from core.errors import NotAllowed, NotFound
from devices.models import Device
from tenants import selectors
from tenants.api.me import MeView
from tenants.models import Branch, Chain, SignInLink, User
from tenants.services import registration
from tests.matrix import declared
from tests.matrix.askers import World, asker
from tests.matrix.asks import BODIES, admin_asks, admin_lists, admin_names, page_asks, rest_asks
from tests.matrix.cells import Ask
from tests.matrix.expected import may_ask, may_in_admin
from tests.matrix.judge import Judge
from tests.matrix.play import first_others, play, turn_of

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("unlimited")]
Patch = pytest.MonkeyPatch


def _of(asks: Iterable[Ask], *names: str) -> list[Ask]:
    return [ask for ask in asks if ask.name in names]


def pages(world: World, role: str, *names: str) -> list[str]:
    judge = Judge(asker(world, role), area="pages", turn=turn_of(role))
    asks = _of(page_asks(judge.asker.own), *names)
    return play(judge, asks, lambda ask: may_ask(judge.asker, ask, declared.PAGES), set(names))


def rest(world: World, role: str, *names: str) -> list[str]:
    judge = Judge(asker(world, role), area="REST", turn=turn_of(role))
    return play(judge, _of(rest_asks(judge.asker.own), *names), lambda ask: may_ask(judge.asker, ask, declared.REST))


def in_admin(world: World, *names: str) -> list[str]:
    role = "staff_of_one_chain"
    judge = Judge(asker(world, role), area="admin", turn=turn_of(role))
    asks = _of((*admin_asks(judge.asker.own), *admin_lists(judge.asker.own)), *names)
    return play(judge, asks, lambda ask: may_in_admin(judge.asker, ask), {name for name, _ in admin_names()} & {*names})


def holding(wrong: list[str], *words: str) -> list[str]:
    return [each for each in wrong if all(word in each for word in words)]


def every_device(user: object) -> QuerySet[Device]:
    return Device.objects.select_related("branch__chain", "presence")


def test_selector_that_is_not_scoped(world: World, monkeypatch: Patch) -> None:
    monkeypatch.setattr("devices.api.views.devices_visible_to", every_device)

    wrong = rest(world, "branch_manager", "api-device-list", "api-device-detail")

    assert holding(wrong, "api-device-list", "says something of zqtheirs")
    assert holding(wrong, "api-device-detail", "tells zqtheirs from nobody: status 200 and 404")


def test_body_that_takes_anothers_key(world: World, monkeypatch: Patch) -> None:
    monkeypatch.setattr("tenants.api.shops.chains_visible_to", lambda user: Chain.objects.all())
    monkeypatch.setattr("tenants.api.shops._require", lambda *arguments: None)

    wrong = rest(world, "chain_manager", "api-branch-list")

    assert holding(wrong, "POST", "changes something of zqtheirs")
    assert holding(wrong, "POST", "tells zqtheirs from nobody")


def test_admin_that_is_not_scoped(world: World, monkeypatch: Patch) -> None:
    scoped = ScopedAdmin.get_queryset

    def careless(self: ScopedAdmin, request: Any) -> Any:
        return Device.objects.select_related("branch__chain") if self.model is Device else scoped(self, request)

    monkeypatch.setattr("devices.admin.device.DeviceAdmin.get_queryset", careless)

    wrong = in_admin(world, "admin:devices_device_changelist", "admin:devices_device_change")

    assert holding(wrong, "changelist", "says something of zqtheirs")
    assert holding(wrong, "admin:devices_device_change", "tells zqtheirs from nobody")


def test_autocomplete_that_is_not_scoped(world: World, monkeypatch: Patch) -> None:
    def careless(self: ScopedAdmin, request: Any) -> Any:
        rows = Branch.objects.all()
        return rows if "autocomplete" in request.path else request.user.visible(rows, "branches:view")

    monkeypatch.setattr("tenants.admin.branch.BranchAdmin.get_queryset", careless, raising=False)

    assert holding(in_admin(world, "admin:autocomplete"), "says something of zqtheirs")


def test_filter_that_tells_an_unknown_key_from_an_empty_list(world: World, monkeypatch: Patch) -> None:
    monkeypatch.setattr("core.api.FilterBackend.filterset_base", FilterSet)

    wrong = rest(world, "branch_manager", "api-device-list")

    assert holding(wrong, "?branch=", "tells zqtheirs from nobody: status 200 and 400")


def test_cache_key_without_the_asker(world: World, monkeypatch: Patch) -> None:
    def kept(user: Any, permission: str = "branches:view") -> QuerySet[Branch]:
        keys = cache.get_or_set("branches", lambda: list(seen(user, permission).values_list("pk", flat=True)))
        return Branch.objects.select_related("chain").filter(pk__in=keys)

    seen = selectors.branches_visible_to
    monkeypatch.setattr("carts.views.control.branches_visible_to", kept)
    other = Judge(asker(world, "other_chain_manager"))
    first_others(other, _of(page_asks(other.asker.own), "carts:branch-list"))

    wrong = pages(world, "branch_manager", "carts:branch-list")

    assert holding(wrong, "carts:branch-list", "says something of zqtheirs")


def test_action_on_whatever_was_selected(world: World, monkeypatch: Patch) -> None:
    careful = ButtonPages.press_many

    def careless(self: Any, request: Any, button: Any, things: Any) -> Any:
        monkeypatch.setattr("core.admin.pages.may", lambda *arguments: True)
        return careful(self, request, button, Cart.objects.filter(pk__in=request.POST.getlist("_selected_action")))

    monkeypatch.setattr(ButtonPages, "press_many", careless)
    monkeypatch.setattr(
        "carts.admin.cart.CartAdmin.get_queryset",
        lambda self, request: (
            Cart.objects.all() if request.method == "POST" else request.user.visible(Cart.objects.all(), "carts:view")
        ),
        raising=False,
    )

    wrong = in_admin(world, "admin:carts_cart_changelist")

    assert holding(wrong, "POST", "changes something of zqtheirs")


def test_inline_that_takes_whatever_key_there_is(world: World, monkeypatch: Patch) -> None:
    monkeypatch.delattr(OwnRowsFormSet, "add_fields")

    wrong = in_admin(world, "admin:devices_device_change")

    assert holding(wrong, "POST", "tells zqtheirs from nobody: status 302 and 200")


def test_open_page_that_names_who_rents_there(world: World, monkeypatch: Patch) -> None:
    def careless(request: Any, template: str, context: Any, **more: Any) -> Any:
        answer = render(request, template, context, **more)
        rented = Rental.objects.filter(branch__carts__public_code=request.resolver_match.kwargs["public_code"])
        answer.content += "".join(rented.values_list("customer__phone", flat=True)[:1]).encode()
        return answer

    monkeypatch.setattr("carts.views.customer.render", careless)

    wrong = pages(world, "customer", "carts:cart")

    assert holding(wrong, "carts:cart", "says something of zqtheirs", world.theirs.customer.phone)


def test_row_made_for_somebody_elses_person(world: World, monkeypatch: Patch) -> None:
    def careless(self: MeView, request: Any) -> Any:
        SignInLink.objects.create(token_hash="x", user=world.theirs.manager, expires_at=timezone.now())
        return answer(self, request)

    answer = MeView.get
    monkeypatch.setattr(MeView, "get", careless)

    assert holding(rest(world, "customer", "api-me"), "changes something of zqtheirs: tenants.signinlink")


def test_body_that_is_never_valid(world: World, monkeypatch: Patch) -> None:
    monkeypatch.setitem(BODIES, ("POST", "api-register"), lambda side: {"email": "nobody"})

    assert holding(rest(world, "anonymous", "api-register"), "api-register", "is ever valid")


def test_address_that_is_known(world: World, monkeypatch: Patch) -> None:
    def careless(*, email: str, **more: Any) -> Any:
        if User.objects.filter(email=email).exists():
            raise NotAllowed
        return ask(email=email, **more)

    ask = registration.request_registration
    monkeypatch.setattr(registration, "request_registration", careless)

    assert holding(rest(world, "anonymous", "api-register"), "tells zqtheirs from nobody: status 403 and 202")


def test_permission_that_is_not_asked_for(world: World, monkeypatch: Patch) -> None:
    from carts.selectors import cart_visible_to

    monkeypatch.setattr(
        "carts.views.control._cart", lambda request, branch_id, cart_id, wanted: cart_visible_to(request.user, cart_id)
    )

    wrong = pages(world, "support_access", "carts:cart-unlock")

    assert holding(wrong, "carts:cart-unlock", "though they may not")


def _seen_or(other: Callable[[], Any]) -> Callable[..., Branch]:
    def look_up(user: Any, branch_id: Any, permission: str = "branches:view") -> Branch:
        try:
            return selectors.branch_visible_to(user, branch_id, permission)
        except NotFound:
            if Branch.objects.filter(pk=branch_id).exists():
                other()
            raise

    return look_up


def test_status_that_differs(world: World, monkeypatch: Patch) -> None:
    def refuse() -> None:
        raise NotAllowed

    monkeypatch.setattr("carts.api.views.branch_visible_to", _seen_or(refuse))

    wrong = rest(world, "branch_manager", "api-branch-stats")

    assert holding(wrong, "tells zqtheirs from nobody: status 403 and 404")


def test_work_that_differs(world: World, monkeypatch: Patch) -> None:
    monkeypatch.setattr("carts.api.views.branch_visible_to", _seen_or(Cart.objects.count))

    wrong = rest(world, "branch_manager", "api-branch-stats")

    assert holding(wrong, "tells zqtheirs from nobody", "queries")


def test_words_that_differ(world: World, monkeypatch: Patch) -> None:
    def say() -> None:
        raise NotFound("It belongs to somebody else.")

    monkeypatch.setattr("carts.api.views.branch_visible_to", _seen_or(say))

    wrong = rest(world, "branch_manager", "api-branch-stats")

    assert holding(wrong, "tells zqtheirs from nobody: body")


def test_server_error(world: World, monkeypatch: Patch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("carts.selectors.branch_stats", fail)

    wrong = rest(world, "branch_manager", "api-branch-stats")

    assert holding(wrong, "answers 500", "ZeroDivisionError")
