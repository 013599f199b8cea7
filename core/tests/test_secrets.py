"""Encrypted fields and the rotation of their keys: nothing is readable without the key, nothing is lost on the way."""

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as live
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.test.utils import isolate_apps
from pytest_django import Settings

from core import secrets
from core.secrets import EncryptedTextField, Rewritten, SecretUnreadable, decrypt, encrypt, is_current
from core.tests.race import lock_waiters, wait_for
from tenants.models import BrowserSession
from tenants.session_store import PLACE

NEW, OLD, OTHER = (base64.b64encode(sign * 32).decode() for sign in (b"n", b"o", b"x"))
SECRET = "the seed of a second factor"


@pytest.fixture(autouse=True)
def _keys(settings: Settings) -> None:
    settings.FIELD_KEYS = {"old": OLD}


@pytest.fixture
def vault() -> Iterator[type[models.Model]]:
    """A model with two encrypted columns and one that is not, with its table."""
    with isolate_apps("core"):

        class Vault(models.Model):
            seed = EncryptedTextField(null=True)
            token = EncryptedTextField(default="")
            plain = models.TextField(default="")

            class Meta:
                app_label = "core"

            def __str__(self) -> str:
                return self.plain

    with connection.schema_editor() as editor:
        editor.create_model(Vault)
    yield Vault
    with connection.schema_editor() as editor:
        editor.delete_model(Vault)


@pytest.fixture
def installed(vault: type[models.Model], monkeypatch: pytest.MonkeyPatch) -> type[models.Model]:
    """The same, found by the rotation."""
    every = apps.get_models
    monkeypatch.setattr(secrets.apps, "get_models", lambda *args, **kwargs: [*every(*args, **kwargs), vault])
    return vault


def stored(model: type[models.Model], column: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {model._meta.db_table} ORDER BY id")
        return [value for (value,) in cursor.fetchall()]


def rotate(*arguments: str) -> str:
    out = StringIO()
    call_command("rotate_keys", *arguments, stdout=out)
    return out.getvalue()


def test_text_comes_back_and_each_writing_differs() -> None:
    first, second = encrypt(SECRET, place="a.b.c"), encrypt(SECRET, place="a.b.c")

    assert decrypt(first, place="a.b.c") == SECRET
    assert first != second
    assert SECRET not in first


@pytest.mark.parametrize("text", ["", "א", "\N{ROLLING ON THE FLOOR LAUGHING}" * 1000, "a$b$c"])
def test_any_text_comes_back(text: str) -> None:
    assert decrypt(encrypt(text, place="a.b.c"), place="a.b.c") == text


def test_wrong_key_shows_nothing(settings: Settings) -> None:
    written = encrypt(SECRET, place="a.b.c")
    settings.FIELD_KEYS = {"old": OTHER}

    with pytest.raises(SecretUnreadable) as refused:
        decrypt(written, place="a.b.c")

    assert SECRET not in str(refused.value)


def test_key_that_is_gone_shows_nothing(settings: Settings) -> None:
    written = encrypt(SECRET, place="a.b.c")
    settings.FIELD_KEYS = {"new": NEW}

    with pytest.raises(SecretUnreadable):
        decrypt(written, place="a.b.c")


def test_value_moved_elsewhere_shows_nothing() -> None:
    with pytest.raises(SecretUnreadable):
        decrypt(encrypt(SECRET, place="a.b.c"), place="a.b.d")


def test_value_moved_elsewhere_would_be_read_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bound to its place, it is: the test above can fail."""
    cipher = _Unbound(OLD)
    monkeypatch.setattr(secrets, "_cipher", lambda key: cipher)

    assert decrypt(encrypt(SECRET, place="a.b.c"), place="a.b.d") == SECRET


class _Unbound:
    """The cipher without its associated data."""

    def __init__(self, key: str) -> None:
        self._real = secrets.AESGCM(base64.b64decode(key))

    def encrypt(self, nonce: bytes, data: bytes, place: bytes) -> bytes:
        return self._real.encrypt(nonce, data, None)

    def decrypt(self, nonce: bytes, data: bytes, place: bytes) -> bytes:
        return self._real.decrypt(nonce, data, None)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-4] + ("AAA=" if not text.endswith("AAA=") else "BBB="),
        lambda text: text.replace("old$", "new$"),
        lambda text: text.partition("$")[2],
        lambda text: text[: len(text) // 2],
        lambda text: "old$",
        lambda text: "old$not base64",
        lambda text: SECRET,
        lambda text: "",
    ],
)
def test_damaged_value_shows_nothing(damage: Any) -> None:
    """Whatever is not what was written there: also plain text, which is never passed on as it is."""
    written = encrypt(SECRET, place="a.b.c")

    with pytest.raises(SecretUnreadable):
        decrypt(damage(written), place="a.b.c")


def test_newest_key_encrypts_and_all_decrypt(settings: Settings) -> None:
    before = encrypt(SECRET, place="a.b.c")
    settings.FIELD_KEYS = {"new": NEW, "old": OLD}
    after = encrypt(SECRET, place="a.b.c")

    assert [decrypt(each, place="a.b.c") for each in (before, after)] == [SECRET, SECRET]
    assert [is_current(each) for each in (before, after)] == [False, True]


@pytest.mark.django_db(transaction=True)
def test_field_is_encrypted_however_it_is_written(vault: Any) -> None:
    one = vault.objects.create(seed=SECRET, plain=SECRET)
    vault.objects.bulk_create([vault(seed=SECRET)])
    third = vault.objects.create(seed="something else")
    vault.objects.filter(pk=third.pk).update(seed=SECRET)
    fourth = vault.objects.create()
    fourth.seed = SECRET
    vault.objects.bulk_update([fourth], ["seed"])

    assert all(SECRET not in value and value.startswith("old$") for value in stored(vault, "seed"))
    assert [row.seed for row in vault.objects.order_by("pk")] == [SECRET] * 4
    assert list(vault.objects.filter(pk=one.pk).values_list("seed", flat=True)) == [SECRET]
    assert stored(vault, "plain")[0] == SECRET  # control: this is how a plain column looks


@pytest.mark.django_db(transaction=True)
def test_nothing_stays_nothing(vault: Any) -> None:
    vault.objects.create(seed=None, token="")

    row = vault.objects.get(seed__isnull=True)

    assert (row.seed, row.token) == (None, "")
    assert (stored(vault, "seed"), stored(vault, "token")) == ([None], [""])


@pytest.mark.django_db(transaction=True)
def test_value_in_another_column_is_refused(vault: Any) -> None:
    vault.objects.create(seed=SECRET)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {vault._meta.db_table} SET token = seed")

    with pytest.raises(SecretUnreadable):
        vault.objects.get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "lookup", ["seed", "seed__in", "seed__contains", "seed__startswith", "seed__gt", "seed__regex"]
)
def test_value_can_not_be_looked_for(vault: Any, lookup: str) -> None:
    with pytest.raises(FieldError, match="Unsupported lookup"):
        vault.objects.filter(**{lookup: [SECRET] if lookup.endswith("in") else SECRET}).exists()


def test_field_is_written_into_migrations_as_itself() -> None:
    _name, path, arguments, options = EncryptedTextField(null=True, verbose_name="seed").deconstruct()
    text, _ = MigrationWriter.serialize(EncryptedTextField(null=True))

    assert (path, arguments, options) == ("core.secrets.EncryptedTextField", [], {"null": True, "verbose_name": "seed"})
    assert text == "core.secrets.EncryptedTextField(null=True)"


@pytest.mark.django_db(transaction=True)
def test_rotation_lets_the_old_key_go(installed: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_BATCH", 2)
    installed.objects.bulk_create([installed(seed=f"{SECRET} {number}") for number in range(5)])
    installed.objects.create(seed=None)
    settings.FIELD_KEYS = {"new": NEW, "old": OLD}
    newer = installed.objects.create(seed="written with the new key")
    kept = stored(installed, "seed")[-1]

    assert "core.vault.seed: 5 to rewrite" in rotate("--dry-run")
    assert [is_current(value) for value in stored(installed, "seed") if value] == [False] * 5 + [True]
    assert "core.vault.seed: 5 rewritten" in rotate()
    assert "core.vault.seed: 0 rewritten" in rotate()

    settings.FIELD_KEYS = {"new": NEW}
    assert list(installed.objects.order_by("pk").values_list("seed", flat=True)) == [
        *(f"{SECRET} {number}" for number in range(5)),
        None,
        newer.seed,
    ]
    assert stored(installed, "seed")[-1] == kept


@pytest.mark.django_db(transaction=True)
def test_rotation_goes_on_where_it_was_killed(
    installed: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_BATCH", 2)
    installed.objects.bulk_create([installed(seed=SECRET) for _ in range(5)])
    settings.FIELD_KEYS = {"new": NEW, "old": OLD}
    written, real = [], secrets.encrypt

    def killed(text: str, *, place: str) -> str:
        written.append(text)
        if len(written) == 4:
            raise KeyboardInterrupt
        return real(text, place=place)

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "encrypt", killed)
        with pytest.raises(KeyboardInterrupt):
            rotate()
    half = [is_current(value) for value in stored(installed, "seed")]
    rotate()

    assert half == [True, True, False, False, False]
    settings.FIELD_KEYS = {"new": NEW}
    assert list(installed.objects.values_list("seed", flat=True)) == [SECRET] * 5


@pytest.mark.django_db(transaction=True)
def test_rotation_leaves_and_counts_what_it_can_not_read(installed: Any, settings: Settings) -> None:
    lost = installed.objects.create(seed=SECRET)
    settings.FIELD_KEYS = {"other": OTHER}
    installed.objects.create(seed=SECRET)
    settings.FIELD_KEYS = {"new": NEW, "other": OTHER}
    before = stored(installed, "seed")[0]

    with pytest.raises(CommandError, match="1 values can't be read"):
        rotate("--dry-run")
    untouched = stored(installed, "seed")
    with pytest.raises(CommandError, match="1 values can't be read"):
        rotate()

    assert [is_current(value) for value in untouched] == [False, False]
    assert stored(installed, "seed")[0] == before
    assert installed.objects.exclude(pk=lost.pk).get().seed == SECRET


def write_while_rotating(vault: Any, settings: Settings) -> str:
    """What a row holds when somebody wrote it, and was not done yet, while the rotation came by."""
    row = vault.objects.create(seed="before")
    settings.FIELD_KEYS = {"new": NEW, "old": OLD}
    column = next(each for each in secrets.encrypted_columns() if each.place == "core.vault.seed")
    began = threading.Event()

    def rotate_here() -> None:
        try:
            began.set()
            secrets.rewrite_column(column)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            vault.objects.filter(pk=row.pk).update(seed="after")
            rotation = pool.submit(rotate_here)
            began.wait(10)
            wait_for(lock_waiters, "the rotation to come to the row")
        rotation.result(10)
    settings.FIELD_KEYS = {"new": NEW}
    return str(vault.objects.get(pk=row.pk).seed)


@pytest.mark.django_db(transaction=True)
def test_rotation_overwrites_nobody(installed: Any, settings: Settings) -> None:
    assert write_while_rotating(installed, settings) == "after"


@pytest.mark.django_db(transaction=True)
def test_rotation_without_its_lock_overwrites_control(
    installed: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_LOCK", "")

    assert write_while_rotating(installed, settings) == "before"


@pytest.mark.django_db
def test_sessions_are_rewritten_and_go_on(settings: Settings) -> None:
    store = import_module(live.SESSION_ENGINE).SessionStore
    session = store()
    session["cart"] = "17"
    session.create()
    settings.FIELD_KEYS = {"new": NEW, "old": OLD}

    assert f"{PLACE}: 1 rewritten" in rotate()

    settings.FIELD_KEYS = {"new": NEW}
    assert store(session.session_key)["cart"] == "17"
    assert is_current(BrowserSession.objects.get().session_data)


@pytest.mark.django_db
def test_session_whose_key_is_gone_is_over(settings: Settings) -> None:
    store = import_module(live.SESSION_ENGINE).SessionStore
    session = store()
    session["cart"] = "17"
    session.create()

    settings.FIELD_KEYS = {"new": NEW}

    assert dict(store(session.session_key).items()) == {}


@pytest.mark.django_db
def test_registered_rewriters_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_elsewhere", {})
    asked = []

    def rewrite(*, write: bool) -> Rewritten:
        asked.append(write)
        return Rewritten(7)

    secrets.rewrites("somewhere else", rewrite)

    assert "somewhere else: 7 to rewrite" in rotate("--dry-run")
    assert "somewhere else: 7 rewritten" in rotate()
    assert asked == [False, True]


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_registered_rewriter_that_can_not_read_makes_it_fail(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(secrets, "_elsewhere", {})
    secrets.rewrites("somewhere else", lambda write: Rewritten(7, unreadable=2))

    with pytest.raises(CommandError, match="2 values can't be read"):
        rotate(*arguments)
