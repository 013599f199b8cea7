from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.utils import timezone

from core import idempotency
from core.models import IdempotencyKey, StateChange
from core.tests.race import race


def act(word: str = "done") -> dict[str, Any]:
    """An action whose runs can be counted."""
    row = StateChange.objects.create(entity="core.test", entity_id=uuid4(), field="", from_state="", to_state=word)
    return {"row": row.pk, "word": word}


def ask(key: str = "key", *, scope: str = "test", request: object = "body", word: str = "done") -> dict[str, Any]:
    return idempotency.once(scope=scope, key=key, request=request, action=lambda: act(word))


def runs() -> int:
    return StateChange.objects.filter(entity="core.test").count()


@pytest.mark.django_db
def test_same_key_gets_the_same_answer_and_acts_once() -> None:
    first, second = ask(word="first"), ask(word="second")

    assert first == second
    assert (first["word"], runs()) == ("first", 1)


@pytest.mark.django_db
def test_order_of_the_bodys_keys_does_not_matter() -> None:
    first, second = ask(request={"a": 1, "b": 2}), ask(request={"b": 2, "a": 1})

    assert first == second


@pytest.mark.django_db
def test_same_key_with_another_body_is_refused() -> None:
    ask(request={"cart": 1})

    with pytest.raises(idempotency.KeyReused):
        ask(request={"cart": 2})

    assert runs() == 1


@pytest.mark.django_db
def test_same_key_with_another_body_is_refused_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were bodies not told apart, the second would be given the first one's answer."""
    monkeypatch.setattr(idempotency.hashlib, "sha256", lambda body: Mock(hexdigest=lambda: "the same"))

    first, second = ask(request={"cart": 1}), ask(request={"cart": 2})

    assert (first == second, runs()) == (True, 1)


@pytest.mark.django_db
def test_another_key_or_another_scope_acts_again() -> None:
    ask("one")
    ask("two")
    ask("one", scope="somebody else")

    assert runs() == 3


@pytest.mark.django_db
def test_exception_frees_the_key_and_undoes_the_action() -> None:
    def fail() -> dict[str, Any]:
        act()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        idempotency.once(scope="test", key="key", request="body", action=fail)
    after_failure = runs()

    assert ask(word="later")["word"] == "later"
    assert (after_failure, runs()) == (0, 1)


@pytest.mark.django_db
def test_old_keys_are_forgotten_and_young_ones_kept() -> None:
    ask("old")
    IdempotencyKey.objects.update(created_at=timezone.now() - idempotency.KEEP - timedelta(seconds=1))
    ask("young")

    assert idempotency.forget_old_keys() == 1
    assert IdempotencyKey.objects.get().key == "young"


@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_act_once_and_hear_the_same() -> None:
    answers = race(ask, times=50)

    assert [answer for answer in answers if answer != answers[0]] == []
    assert runs() == 1


@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_act_once_and_hear_the_same_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the claim everybody acts."""
    monkeypatch.setattr(idempotency, "_claim", lambda scope, key, fingerprint: True)

    race(ask, times=50)

    assert runs() == 50
