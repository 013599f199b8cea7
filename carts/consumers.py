"""Websockets of customers and managers. A message is HTML whose elements replace those with the same id."""

import asyncio
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import HttpRequest
from django.utils import translation

from carts.rendering import render_branch_changes, render_rental, show_rental
from carts.selectors import own_rentals
from carts.snapshots import restore_rental
from core.live import branch_group, customer_group
from tenants.selectors import branches_visible_to

# Changes within this time become one message: an unlock touches a manager's page four times.
GATHER_S = 0.05
REFUSED = 4404


def reader_language(scope: dict[str, Any]) -> str:
    """The language of the page that opened the socket: its cookie, else what the browser prefers."""
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    headers = dict(scope.get("headers", []))
    request.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", b"").decode("latin-1")
    return translation.get_language_from_request(request) or settings.LANGUAGE_CODE


class RentalConsumer(AsyncWebsocketConsumer):
    """One customer watching one rental of theirs, or all of them where the address names none."""

    async def connect(self) -> None:
        self.rental_id: UUID | None = self.scope["url_route"]["kwargs"].get("rental_id")
        self.language = reader_language(self.scope)
        self.hop: asyncio.Task[None] | None = None
        if not await database_sync_to_async(self._may_watch)():
            await self.close(REFUSED)
            return
        await self.channel_layer.group_add(customer_group(self.scope["user"].pk), self.channel_name)
        await self.accept()
        if self.rental_id:
            # Whatever happened between the page and its socket.
            await self._send_rental(self.rental_id)

    async def disconnect(self, code: int) -> None:
        self._forget_hop()
        await self.channel_layer.group_discard(customer_group(self.scope["user"].pk), self.channel_name)

    async def rental_changed(self, event: dict[str, Any]) -> None:
        """Send the rental as it is now."""
        rental_id = UUID(event["rental_id"])
        if self.rental_id not in (None, rental_id):
            return
        self._forget_hop()
        if snapshot := event["snapshot"]:
            await self.send(text_data=show_rental(restore_rental(snapshot), self.language))
        else:
            await self._send_rental(rental_id)

    async def rental_advanced(self, event: dict[str, Any]) -> None:
        """Send a hop of an unlock, unless its end comes within a moment and shows it too."""
        rental_id = UUID(event["rental_id"])
        if self.rental_id in (None, rental_id):
            self._forget_hop()
            self.hop = asyncio.create_task(self._send_later(rental_id))

    async def _send_later(self, rental_id: UUID) -> None:
        await asyncio.sleep(GATHER_S)
        await self._send_rental(rental_id)

    def _forget_hop(self) -> None:
        if self.hop is not None:
            self.hop.cancel()

    async def _send_rental(self, rental_id: UUID) -> None:
        html = await database_sync_to_async(render_rental, thread_sensitive=False)(rental_id, self.language)
        await self.send(text_data=html)

    def _may_watch(self) -> bool:
        user = self.scope["user"]
        # A lazy user is looked up here, where queries are allowed.
        if self.rental_id is None:
            return bool(user.is_authenticated)
        return own_rentals(user).filter(pk=self.rental_id).exists()


class BranchConsumer(AsyncWebsocketConsumer):
    """One manager watching one branch of theirs."""

    async def connect(self) -> None:
        self.branch_id: UUID = self.scope["url_route"]["kwargs"]["branch_id"]
        self.language = reader_language(self.scope)
        self.carts: set[UUID] = set()
        self.devices = False
        self.flushing: asyncio.Task[None] | None = None
        if not await database_sync_to_async(self._may_watch)():
            await self.close(REFUSED)
            return
        await self.channel_layer.group_add(branch_group(self.branch_id), self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.flushing:
            self.flushing.cancel()
        await self.channel_layer.group_discard(branch_group(self.branch_id), self.channel_name)

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
        html = await database_sync_to_async(render_branch_changes, thread_sensitive=False)(
            self.branch_id, carts, devices, self.language
        )
        await self.send(text_data=html)
        if self.carts or self.devices:
            self.flushing = asyncio.create_task(self._flush())

    def _may_watch(self) -> bool:
        return branches_visible_to(self.scope["user"], "carts:view").filter(pk=self.branch_id).exists()
