"""Invitations: who may send which, what the mail holds, who gets in with it, once."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone, translation
from django.utils.translation import gettext

import tenants.services.invitations as service
from core.errors import InvalidInput, NotAllowed, TooMany
from core.models import AuditEntry
from core.tests.race import lock_no_rows, meet_before, race
from tenants.models import Grant, Invitation, Role, User
from tenants.services import deactivate_person, revoke_grant
from tenants.services.invitations import accept_invitation, invite_person, resend_invitation, withdraw_invitation
from tenants.tests.factories import People, make_chain, make_grant, make_people, make_user
from tenants.tests.signing_in import browser_of, sign_in

pytestmark = pytest.mark.django_db
ADDRESS = "new@example.com"


def role(code: str) -> Role:
    return Role.objects.get(code=code)


def invited(people: People, *, email: str = ADDRESS) -> Invitation:
    """By bob, to manage the branch."""
    return invite_person(email=email, name="Nina", role=role("branch_manager"), branch=people.branch, actor=people.bob)


def token_in_mail() -> str:
    """Of the latest mail."""
    found = re.search(r"/auth/invitation/(\S+)", mail.outbox[-1].body)
    assert found
    return found[1]


def test_mail_says_who_invites_to_what_and_the_row_holds_no_token(people: People) -> None:
    invitation = invited(people, email="New@Example.com")

    (sent,) = mail.outbox
    assert sent.to == [ADDRESS]
    assert all(text in sent.body for text in ("Nina", "Bob", "Our branch", "Branch manager"))
    assert token_in_mail() not in str(Invitation.objects.values())
    assert timedelta(days=6) < invitation.expires_at - timezone.now() <= timedelta(days=7)


def test_mail_is_written_in_the_language_of_who_invites(people: People) -> None:
    expected = []
    for language in ("en", "he", "fa", "fr"):
        people.bob.language = language
        invited(people, email=f"{language}@example.com")
        with translation.override(language):
            said = gettext("%(inviter)s invites you to work at %(place)s as %(role)s.")
            expected.append(said.partition("%(role)s")[0] % {"inviter": "Bob", "place": "Our branch"})

    assert [text in sent.body for text, sent in zip(expected, mail.outbox, strict=True)] == [True] * 4
    assert len(set(expected)) == 4


def test_stranger_accepts_and_is_in_but_for_the_second_factor(people: People) -> None:
    invited(people)
    browser, path = Client(), f"/auth/invitation/{token_in_mail()}"

    shown = browser.get(path)
    assert all(text in shown.content.decode() for text in ("Bob", "Our branch", ADDRESS))
    assert Grant.objects.filter(user__email=ADDRESS).count() == 0
    accepted = browser.post(path)

    user = User.objects.get(email=ADDRESS)
    assert (accepted.status_code, browser.session["_auth_user_id"]) == (302, str(user.pk))
    assert (user.name, user.has_usable_password()) == ("Nina", False)
    assert EmailAddress.objects.get(user=user).verified
    assert [(grant.role.code, grant.branch) for grant in user.grants.all()] == [("branch_manager", people.branch)]
    following = browser.get("/control/")
    assert (following.status_code, following["Location"]) == (302, "/auth/second-factor?next=%2Fcontrol%2F")
    told = AuditEntry.objects.get(action="granted", after__user=str(user.pk))
    assert told.actor_id == people.bob.pk


def test_looking_uses_nothing_up(people: People) -> None:
    invited(people)
    path = f"/auth/invitation/{token_in_mail()}"

    assert [Client().get(path).status_code for _ in range(3)] == [200] * 3
    assert Client().post(path).status_code == 302


def test_link_works_once(people: People) -> None:
    invited(people)
    path = f"/auth/invitation/{token_in_mail()}"
    Client().post(path)

    answers = [Client().get(path).status_code, Client().post(path).status_code]

    assert answers == [400, 400]
    assert Grant.objects.filter(user__email=ADDRESS).count() == 1


@pytest.mark.parametrize("how", ["old", "withdrawn", "sent again", "unknown"])
def test_spent_links_look_the_same(people: People, how: str) -> None:
    invitation = invited(people)
    token = token_in_mail()
    if how == "old":
        Invitation.objects.update(expires_at=timezone.now())
    elif how == "withdrawn":
        withdraw_invitation(invitation=invitation, actor=people.bob)
    elif how == "sent again":
        resend_invitation(invitation=invitation, actor=people.bob)
    else:
        token = "x" * 43

    answers = [Client().get(f"/auth/invitation/{token}"), Client().post(f"/auth/invitation/{token}")]

    assert {answer.status_code for answer in answers} == {400}
    assert not User.objects.filter(email=ADDRESS).exists()


def test_second_invitation_withdraws_the_first_and_says_so(people: People) -> None:
    first = invited(people)
    other = invited(people, email="somebody.else@example.com")

    invited(people)

    assert [row.entity_id for row in AuditEntry.objects.filter(action="withdrawn")] == [str(first.pk)]
    assert list(Invitation.objects.filter(withdrawn_at__isnull=False)) == [first]
    other.refresh_from_db()
    assert other.withdrawn_at is None


def test_sent_again_works_with_the_new_link(people: People) -> None:
    invitation = invited(people)
    resend_invitation(invitation=invitation, actor=people.bob)

    assert Client().post(f"/auth/invitation/{token_in_mail()}").status_code == 302


def test_second_invitation_to_the_same_ends_the_first(people: People) -> None:
    invited(people)
    first = token_in_mail()
    invited(people)

    assert Client().get(f"/auth/invitation/{first}").status_code == 400
    assert Client().get(f"/auth/invitation/{token_in_mail()}").status_code == 200


def test_address_with_an_account_signs_in_first(people: People) -> None:
    known = make_user(email="known@example.com", name="Kim")
    make_grant(user=known, role="chain_manager", chain=make_chain())
    invited(people, email="known@example.com")
    path = f"/auth/invitation/{token_in_mail()}"

    stranger = Client()
    assert f"/auth/sign-in?next={path}" in stranger.get(path).content.decode()
    assert stranger.post(path).status_code == 403
    assert known.grants.count() == 1
    own = browser_of(known)
    assert own.post(path).status_code == 302

    assert known.grants.count() == 2


def test_list_of_invitations_is_the_same_for_known_and_unknown_addresses(people: People) -> None:
    make_user(email="known@example.com", name="Kim")
    for email in ("nobody@example.com", "known@example.com"):
        invited(people, email=email)

    page = browser_of(people.bob).get("/control/people").content.decode()

    assert "Kim" not in page
    rows = re.findall(r'<li class="list__row list__row--acts">(.*?)</li>', page, re.S)
    plain = [re.sub(r"(nobody|known)@example.com|[0-9a-f-]{36}|value=\"[^\"]{64}\"", "", row) for row in rows]
    assert len(plain) == 2
    assert plain[0] == plain[1]


def test_account_somebody_else_made_with_the_address_is_not_theirs(people: People) -> None:
    """Whoever signed up with an address they don't read waits with a password: accepting forgets it."""
    squatter = make_user(email=ADDRESS, password="the squatter's 12")
    invited(people)

    assert Client().post(f"/auth/invitation/{token_in_mail()}").status_code == 302

    squatter.refresh_from_db()
    assert not squatter.has_usable_password()
    assert squatter.grants.count() == 1


def test_somebody_else_is_told_so_and_accepts_nothing(people: People) -> None:
    invited(people)
    path = f"/auth/invitation/{token_in_mail()}"
    charlie = browser_of(people.charlie)

    assert "You are signed in as Charlie" in charlie.get(path).content.decode()
    assert charlie.post(path).status_code == 403
    assert people.charlie.grants.count() == 1


def test_closed_account_is_not_opened_by_an_invitation(people: People) -> None:
    known = make_user(email=ADDRESS)
    deactivate_person(user=known, actor=people.erin)
    invited(people)

    assert Client().post(f"/auth/invitation/{token_in_mail()}").status_code == 403
    assert known.grants.count() == 0


def test_invitation_dies_with_the_rights_of_who_sent_it(people: People) -> None:
    invited(people)
    revoke_grant(grant=people.bob.grants.get(), actor=people.erin)

    assert Client().post(f"/auth/invitation/{token_in_mail()}").status_code == 403
    assert not User.objects.filter(email=ADDRESS).exists()


def test_invitation_would_outlive_them_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody looks who invited, the role is given all the same: the test above can fail."""
    monkeypatch.setattr(service, "_require_may_invite", lambda actor, invitation: None)
    monkeypatch.setattr("tenants.services.people.require_may_give", lambda actor, role, place: None)
    invited(people)
    revoke_grant(grant=people.bob.grants.get(), actor=people.erin)

    Client().post(f"/auth/invitation/{token_in_mail()}")

    assert Grant.objects.filter(user__email=ADDRESS).exists()


@pytest.mark.parametrize(
    ("who", "code", "where"),
    [
        ("alice", "chain_manager", "chain"),
        ("alice", "branch_manager", "strange_branch"),
        ("bob", "chain_manager", "strange_chain"),
        ("bob", "manager", None),
        ("bob", "support_access", "chain"),
        ("dora", "customer", "branch"),
        ("erin", "support_access", "chain"),
    ],
)
def test_nobody_offers_more_than_they_hold(people: People, who: str, code: str, where: str | None) -> None:
    place = {where.rpartition("_")[2]: getattr(people, where)} if where else {}

    with pytest.raises(NotAllowed):
        invite_person(email=ADDRESS, name="", role=role(code), **place, actor=getattr(people, who))

    assert (Invitation.objects.count(), mail.outbox) == (0, [])


def test_role_is_not_offered_where_it_can_not_be_held(people: People) -> None:
    with pytest.raises(InvalidInput):
        invite_person(email=ADDRESS, name="", role=role("branch_manager"), chain=people.chain, actor=people.bob)


def test_mail_to_strangers_is_limited(people: People) -> None:
    for _ in range(5):
        invited(people)

    with pytest.raises(TooMany):
        invited(people)


def test_mail_that_can_not_be_sent_is_said_and_can_be_sent_again(people: People, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    bob = browser_of(people.bob)
    given = {"email": ADDRESS, "role": "branch_manager", "place": f"branch:{people.branch.pk}"}

    answer = bob.post("/control/people/invite", given, follow=True)

    assert "could not be sent" in answer.content.decode()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    bob.post(f"/control/people/invitations/{Invitation.objects.get().pk}/resend")
    assert Client().post(f"/auth/invitation/{token_in_mail()}").status_code == 302


def test_pages_invite_and_withdraw_in_ones_own_places(people: People) -> None:
    alice, charlie = browser_of(people.alice), browser_of(people.charlie)
    given = {"email": ADDRESS, "role": "branch_manager", "place": f"branch:{people.branch.pk}"}

    assert charlie.post("/control/people/invite", given).status_code == 400
    assert alice.post("/control/people/invite", given).status_code == 302
    invitation = Invitation.objects.get()
    assert ADDRESS not in charlie.get("/control/people").content.decode()
    for action in ("resend", "withdraw"):
        assert charlie.post(f"/control/people/invitations/{invitation.pk}/{action}").status_code == 404
    assert ADDRESS in alice.get("/control/people").content.decode()
    alice.post(f"/control/people/invitations/{invitation.pk}/withdraw")

    invitation.refresh_from_db()
    assert invitation.withdrawn_at is not None


@pytest.mark.parametrize(("method", "stays"), [("link", False), ("cloudflare_access", False), ("password", True)])
def test_strangers_password_is_forgotten_unless_it_was_given(people: People, method: str, stays: bool) -> None:
    """Somebody signed up with the invited address; its owner came in another way and accepts."""
    user = make_user(email=ADDRESS, password="the stranger's own")
    browser = Client()
    sign_in(browser, user, second_factor=False, method=method)
    invited(people)

    browser.post(f"/auth/invitation/{token_in_mail()}")

    user.refresh_from_db()
    assert user.grants.exists()
    assert user.has_usable_password() is stays


def _race_to_accept(times: int) -> tuple[list[Any], User]:
    people = make_people()
    user = make_user(email=ADDRESS)
    invited(people)
    token = token_in_mail()
    return race(lambda: accept_invitation(token=token, user=User.objects.get(pk=user.pk)), times=times), user


@pytest.mark.django_db(transaction=True)
def test_accepted_many_times_at_once_is_accepted_once() -> None:
    results, user = _race_to_accept(8)

    assert sorted(type(each).__name__ for each in results) == ["InvalidInput"] * 7 + ["tuple"]
    assert Grant.objects.filter(user=user).count() == 1
    assert AuditEntry.objects.filter(action="accepted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_accepted_many_times_at_once_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock both have read that it waits: the test above can fail."""
    lock_no_rows(monkeypatch)
    meet_before(monkeypatch, service, "prove_address", parties=2)

    _race_to_accept(2)

    assert AuditEntry.objects.filter(action="accepted").count() == 2
