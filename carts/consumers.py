"""Websockets of customers and managers. A message is HTML whose elements replace those with the same id."""

import asyncio
import logging
import time
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import Error as DatabaseError
from django.http import HttpRequest
from django.utils import translation

from carts.rendering import BranchParts, parts_visible_to, render_branch_changes, render_rental, show_rental
from carts.selectors import own_rentals
from carts.snapshots import restore_rental
from core.live import branch_group, customer_group
from tenants.models import User
from tenants.requester import user_of_session
from tenants.selectors import branches_visible_to

# Changes within this time become one message: an unlock touches a manager's page four times.
GATHER_S = 0.05
# How long a right that was taken away, a session that was ended or an account that was closed may still be shown to.
# Within 60 s the socket is closed; the rest is for the asking.
RECHECK_S = 30.0
REFUSED = 4404
TRY_AGAIN_LATER = 1013

logger = logging.getLogger(__name__)


def reader_language(scope: dict[str, Any]) -> str:
    """The language of the page that opened the socket: its cookie, else what the browser prefers."""
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    headers = dict(scope.get("headers", []))
    request.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", b"").decode("latin-1")
    return translation.get_language_from_request(request) or settings.LANGUAGE_CODE


def present_user(scope: dict[str, Any]) -> User | AnonymousUser:
    """Who is signed in with the socket's session by now, read anew. Two queries."""
    return user_of_session(scope["session"].session_key)


class WatchingConsumer(AsyncWebsocketConsumer):
    """A socket of somebody who may watch something, for as long as they may.

    Whether they may is asked when it opens, every `RECHECK_S`, and before sending where the last answer is older.
    """

    async def connect(self) -> None:
        self.language = reader_language(self.scope)
        self.asking: asyncio.Task[None] | None = None
        self.reader_id: UUID | None = None
        self.group = ""
        if not await self._ask_again():
            return
        self.group = self.watched_group()
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self.asking = asyncio.create_task(self._keep_asking())

    async def disconnect(self, code: int) -> None:
        if self.asking:
            self.asking.cancel()
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    def watched_group(self) -> str:
        """The channel group whose changes are shown."""
        raise NotImplementedError

    def may_watch(self, user: User | AnonymousUser) -> bool:
        """Whether this person may see it. Called in a thread, where queries are allowed."""
        raise NotImplementedError

    async def show(self, html: str) -> None:
        """Send a fragment to whoever may still see it."""
        if await self.may_still():
            await self.send(text_data=html)

    async def may_still(self) -> bool:
        """What was answered last, asked again where that is too old. False closes the socket."""
        return time.monotonic() - self.asked_at <= RECHECK_S or await self._ask_again()

    async def _keep_asking(self) -> None:
        try:
            while True:
                await asyncio.sleep(RECHECK_S)
                if not await self._ask_again():
                    return
        except DatabaseError:
            logger.warning("rights of an open page could not be read", exc_info=True)
            await self.close(TRY_AGAIN_LATER)

    async def _ask_again(self) -> bool:
        asked_at = time.monotonic()
        allowed: bool = await database_sync_to_async(self._ask, thread_sensitive=False)()
        if allowed:
            self.asked_at = asked_at
        else:
            await self.close(REFUSED)
        return allowed

    def _ask(self) -> bool:
        user = present_user(self.scope)
        if self.reader_id is None:
            self.reader_id = user.pk
        # The page was drawn for one person: who signs in as another later, or acts as one, opens a page of theirs.
        return user.pk == self.reader_id and self.may_watch(user)


class RentalConsumer(WatchingConsumer):
    """One customer watching one rental of theirs, or all of them where the address names none."""

    async def connect(self) -> None:
        self.rental_id: UUID | None = self.scope["url_route"]["kwargs"].get("rental_id")
        await super().connect()
        if self.rental_id and self.group:
            # Whatever happened between the page and its socket.
            await self._send_rental(self.rental_id)

    def watched_group(self) -> str:
        assert self.reader_id is not None  # nobody else may watch
        return customer_group(self.reader_id)

    def may_watch(self, user: User | AnonymousUser) -> bool:
        """Their own rentals; who opened the socket is asked before, whoever they act as."""
        if not user.is_authenticated:
            return False
        return self.rental_id is None or own_rentals(user).filter(pk=self.rental_id).exists()

    async def rental_changed(self, event: dict[str, Any]) -> None:
        """Send the rental as it is now."""
        rental_id = UUID(event["rental_id"])
        if self.rental_id not in (None, rental_id):
            return
        if snapshot := event["snapshot"]:
            await self.show(show_rental(restore_rental(snapshot), self.language))
        else:
            await self._send_rental(rental_id)

    async def _send_rental(self, rental_id: UUID) -> None:
        html = await database_sync_to_async(render_rental, thread_sensitive=False)(rental_id, self.language)
        await self.show(html)


class BranchConsumer(WatchingConsumer):
    """One manager watching one branch of theirs."""

    async def connect(self) -> None:
        self.branch_id: UUID = self.scope["url_route"]["kwargs"]["branch_id"]
        self.parts = BranchParts(rentals=False, devices=False)
        self.carts: set[UUID] = set()
        self.devices = False
        self.flushing: asyncio.Task[None] | None = None
        await super().connect()

    async def disconnect(self, code: int) -> None:
        if self.flushing:
            self.flushing.cancel()
        await super().disconnect(code)

    def watched_group(self) -> str:
        return branch_group(self.branch_id)

    def may_watch(self, user: User | AnonymousUser) -> bool:
        """Its carts; which tables besides them is noted for the renderer."""
        branch = branches_visible_to(user, "carts:view").filter(pk=self.branch_id).first()
        if branch is None:
            return False
        self.parts = parts_visible_to(user, branch)
        return True

    async def branch_changed(self, event: dict[str, Any]) -> None:
        """Gather what changed and send it together."""
        if cart_id := event.get("cart_id"):
            self.carts.add(UUID(cart_id))
        self.devices |= "device_id" in event
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        await asyncio.sleep(GATHER_S)
        carts, self.carts = self.carts, set()
        devices, self.devices = self.devices, False
        if not await self.may_still():
            return
        try:
            html = await database_sync_to_async(render_branch_changes, thread_sensitive=False)(
                self.branch_id, carts, devices, self.parts, self.language
            )
        except DatabaseError:
            # The page's socket comes back, and with it whatever changed meanwhile.
            logger.warning("changes of a branch could not be shown", exc_info=True)
            await self.close(TRY_AGAIN_LATER)
            return
        if html:
            await self.send(text_data=html)
        if self.carts or self.devices:
            self.flushing = asyncio.create_task(self._flush())
