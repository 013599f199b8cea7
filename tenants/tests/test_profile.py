"""One's own name and language: the page, and the language switch, which mails follow."""

from typing import Any

import pytest
from django.test import Client

from core.models import AuditEntry
from tenants.models import User
from tenants.tests.factories import People, again
from tenants.tests.signing_in import browser_of

PROFILE, SWITCH = "/auth/profile", "/i18n/setlang/"


def known(user: User) -> tuple[str, str]:
    """Name and language as they are stored."""
    stored = again(user)
    return stored.name, stored.language


def test_page_shows_what_is_stored(people: People) -> None:
    User.objects.filter(pk=people.dora.pk).update(language="fa")

    form = browser_of(people.dora).get(PROFILE).context["form"]

    assert form.initial == {"name": "Dora", "language": "fa"}


@pytest.mark.parametrize("who", ["alice", "dora"])
def test_name_and_language_are_saved_and_pages_follow(people: People, who: str) -> None:
    user = getattr(people, who)
    browser = browser_of(user)

    answer = browser.post(PROFILE, {"name": " Naïve ", "language": "fr"}, follow=True)

    assert answer.redirect_chain == [("/auth/security", 302)]
    assert known(user) == ("Naïve", "fr")
    assert 'lang="fr"' in answer.content.decode()
    assert browser.cookies["django_language"]["httponly"] is True
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_id, entry.entity_id) == ("changed", user.pk, str(user.pk))


def test_name_may_be_left_out(people: People) -> None:
    browser_of(people.dora).post(PROFILE, {"name": "", "language": "he"})

    assert known(people.dora) == ("", "he")


@pytest.mark.parametrize("wrong", [{"language": "de"}, {"language": ""}, {"name": "x" * 256}, {"name": "a\x00"}])
def test_what_can_not_be_is_told_and_nothing_saved(people: People, wrong: dict[str, str]) -> None:
    answer = browser_of(people.dora).post(PROFILE, {"name": "Other", "language": "fr", **wrong})

    assert answer.status_code == 400
    assert set(answer.context["form"].errors) == set(wrong)
    assert known(people.dora) == ("Dora", "en")


def test_nobodys_profile_is_changed_but_ones_own(people: People) -> None:
    browser_of(people.dora).post(PROFILE, {"name": "Other", "language": "fr", "user": people.alice.pk})

    assert (known(people.alice), known(people.dora)) == (("Alice", "en"), ("Other", "fr"))


@pytest.mark.parametrize("page", ["/auth/security", "/me/"])
def test_page_is_linked_from_ones_own_pages(people: People, page: str) -> None:
    assert f'href="{PROFILE}"' in browser_of(people.dora).get(page).content.decode()


@pytest.mark.django_db
def test_nobody_is_asked_to_sign_in_first(client: Client) -> None:
    for answer in (client.get(PROFILE), client.post(PROFILE, {"language": "fr"})):
        assert answer["Location"].startswith("/auth/sign-in")


# The language switch


def switch(browser: Client, language: str = "he") -> Any:
    return browser.post(SWITCH, {"language": language, "next": "/me/"})


@pytest.mark.parametrize("who", ["alice", "dora"])
def test_stored_language_follows_the_switch(people: People, who: str) -> None:
    user = getattr(people, who)
    browser = browser_of(user)

    answer = switch(browser)

    assert (answer.status_code, answer["Location"]) == (302, "/me/")
    assert browser.cookies["django_language"].value == "he"
    assert known(user) == (user.name, "he")
    entry = AuditEntry.objects.get()
    assert (entry.actor_id, entry.before, entry.after) == (user.pk, {"language": "en"}, {"language": "he"})


def test_same_language_again_writes_nothing(people: People) -> None:
    browser = browser_of(people.dora)

    for _ in range(2):
        switch(browser)

    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_switch_works_for_who_is_not_signed_in(client: Client) -> None:
    answer = switch(client)

    assert (answer.status_code, client.cookies["django_language"].value) == (302, "he")


@pytest.mark.parametrize("language", ["de", "", "x" * 300, "he\x00"])
def test_language_nobody_here_speaks_is_not_stored(people: People, language: str) -> None:
    switch(browser_of(people.dora), language)

    assert known(people.dora) == ("Dora", "en")


def test_looking_at_the_switch_changes_nothing(people: People) -> None:
    browser_of(people.dora).get(SWITCH, {"language": "he"})

    assert known(people.dora) == ("Dora", "en")


def test_switch_of_another_site_is_refused(people: People) -> None:
    browser = browser_of(people.dora)
    other_site = Client(enforce_csrf_checks=True)
    other_site.cookies = browser.cookies

    assert switch(other_site).status_code == 403
    assert known(people.dora) == ("Dora", "en")


def language_after_switching_as_another(people: People) -> tuple[str, str]:
    """Erin acts as alice and switches the page; the languages of both."""
    browser = browser_of(people.erin)
    browser.post(f"/auth/act-as/{people.alice.pk}", {"reason": "A call"})
    answer = switch(browser)
    assert (answer.status_code, browser.cookies["django_language"].value) == (302, "he")
    return again(people.alice).language, again(people.erin).language


def test_acting_as_somebody_changes_no_language_of_theirs(people: People) -> None:
    assert language_after_switching_as_another(people) == ("en", "en")


def test_acting_as_somebody_changes_no_language_of_theirs_control(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is asked whose clothes one wears, alice gets mails in Hebrew."""
    monkeypatch.setattr("tenants.views.profile._is_themselves", lambda user: True)

    assert language_after_switching_as_another(people) == ("he", "en")


def test_acting_as_somebody_reaches_no_profile_of_theirs(people: People) -> None:
    browser = browser_of(people.erin)
    browser.post(f"/auth/act-as/{people.alice.pk}", {"reason": "A call"})

    answers = [browser.get(PROFILE), browser.post(PROFILE, {"name": "Other", "language": "he"})]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert known(people.alice) == ("Alice", "en")


def test_seeing_as_a_role_changes_no_language(people: People) -> None:
    browser = browser_of(people.bob)
    browser.post("/auth/see-as", {"role": "branch_manager", "place": f"branch:{people.branch.pk}"})

    answer = switch(browser)

    assert (answer.status_code, known(people.bob)) == (302, ("Bob", "en"))
