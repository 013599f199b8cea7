"""Browser sessions as rows that let nobody in: keyed by a hash of the cookie, their content encrypted."""

import hashlib
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import IntegrityError, transaction
from django.db.models import Case, When
from django.db.models.functions import Now
from django.utils import timezone

from core.secrets import SecretUnreadable, decrypt, encrypt

PLACE = "tenants.browsersession.session_data"
# Nobody's sessions hold what lasts minutes (a code asked for, a factor waited for), and anybody can have them made.
NOBODYS_AGE_S = 60 * 60


def hash_of(session_key: str) -> str:
    """What a session's row is found by; a cookie has 165 random bits, so that no salt is needed."""
    return hashlib.sha256(session_key.encode()).hexdigest()


class SessionStore(DatabaseStore):
    """Django's, with another key and content. Its asynchronous methods call these through threads."""

    @classmethod
    def get_model_class(cls) -> Any:
        from tenants.models import BrowserSession

        return BrowserSession

    def get_session_cookie_age(self) -> int:
        return settings.SESSION_COOKIE_AGE if SESSION_KEY in self else NOBODYS_AGE_S

    def encode(self, session_dict: dict[str, Any]) -> str:
        return encrypt(super().encode(session_dict), place=PLACE)

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        try:
            text = session_data.decode() if isinstance(session_data, bytes) else session_data
            content: dict[str, Any] = super().decode(decrypt(text, place=PLACE))
            return content
        except SecretUnreadable:
            return {}  # a key that is gone ends the sessions written with it

    def _get_session_from_db(self) -> Any:
        if not self.session_key:
            self._session_key = None
            return None
        row = (
            self.get_model_class()
            .objects.filter(session_key=hash_of(self.session_key), expire_date__gt=timezone.now())
            .first()
        )
        if row is None:
            self._session_key = None
        return row

    def exists(self, session_key: str) -> bool:
        return bool(self.get_model_class().objects.filter(session_key=hash_of(session_key)).exists())

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        user = data.get(SESSION_KEY)
        return self.get_model_class()(
            session_key=hash_of(self._get_or_create_session_key()),  # type: ignore[attr-defined]
            session_data=self.encode(data),
            expire_date=self.get_expiry_date(),
            user_id=UUID(user) if user else None,
        )

    def save(self, must_create: bool = False) -> None:
        """Write the content and whose it is; what the list of sessions shows beside it stays."""
        if self.session_key is None:
            self.create()
            return
        row = self.create_model_instance(self._get_session(no_load=must_create))  # type: ignore[attr-defined]
        if must_create:
            try:
                with transaction.atomic():
                    row.save(force_insert=True)
            except IntegrityError:
                raise CreateError from None
        elif (
            not self.get_model_class()
            .objects.filter(pk=row.pk)
            .update(session_data=row.session_data, expire_date=row.expire_date, user=row.user_id)
        ):
            raise UpdateError

    def cycle_key(self) -> None:
        """A new cookie for the same session: its row moves, so that one that was ended meanwhile stays ended."""
        old = self.session_key
        if not old:
            super().cycle_key()
            return
        self._get_session()  # type: ignore[attr-defined]  # read while the old cookie finds it
        self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
        # What nobody was signed in with begins now.
        began = Case(When(user=None, then=Now()), default="created_at")
        rows = self.get_model_class().objects.filter(session_key=hash_of(old))
        rows.update(session_key=hash_of(self._session_key), created_at=began)
        self.modified = True

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            self.get_model_class().objects.filter(session_key=hash_of(key)).delete()

    async def aexists(self, session_key: str) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def aload(self) -> dict[str, Any]:
        content: dict[str, Any] = await sync_to_async(self.load)()
        return content

    async def acreate(self) -> None:
        await sync_to_async(self.create)()

    async def asave(self, must_create: bool = False) -> None:
        await sync_to_async(self.save)(must_create)

    async def acycle_key(self) -> None:
        await sync_to_async(self.cycle_key)()

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)
