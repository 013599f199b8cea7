"""Requests in threads: whole, isolated from each other, and answered when the client is gone."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils import translation

from config.asgi import ThreadsHandler

seen: list[tuple[str, str]] = []


def note(what: str) -> None:
    seen.append((what, threading.current_thread().name))


def view(request: HttpRequest) -> HttpResponse:
    note("view")
    before = translation.get_language()
    translation.activate("he")
    return HttpResponse(f"{request.method} {before} {request.body.decode()}")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> Any:
        for part in (b"a", b"b"):
            yield part

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    note("file")
    return FileResponse(Pieces(b"x" * 200_000))


class Pieces(io.BytesIO):
    """Notes who reads it."""

    def read(self, size: int | None = -1) -> bytes:
        note("read")
        return super().read(size)


urlpatterns = [path("view", view), path("stream", stream), path("file", file)]


@pytest.fixture
def handler() -> Any:
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield ThreadsHandler()


def scope(name: str, method: str = "POST") -> dict[str, Any]:
    return {"type": "http", "http_version": "1.1", "method": method, "path": f"/{name}", "headers": []}


async def answer(handler: Any, name: str, body: bytes = b"") -> tuple[int, bytes]:
    client = ApplicationCommunicator(handler, scope(name))
    await client.send_input({"type": "http.request", "body": body[:3], "more_body": True})
    await client.send_input({"type": "http.request", "body": body[3:]})
    start = await client.receive_output(5)
    parts = []
    while True:
        message = await client.receive_output(5)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            await client.wait(5)
            return start["status"], b"".join(parts)


async def test_request_runs_in_one_thread_with_its_signals(handler: Any) -> None:
    def started(**_: object) -> None:
        note("started")

    def finished(**_: object) -> None:
        note("finished")

    seen.clear()
    request_started.connect(started, weak=False)
    request_finished.connect(finished, weak=False)
    try:
        assert await answer(handler, "view", b"a body") == (200, b"POST en a body")
    finally:
        request_started.disconnect(started)
        request_finished.disconnect(finished)

    assert [what for what, _ in seen] == ["started", "view", "finished"]
    assert {name.rpartition("_")[0] for _, name in seen} == {"request"}


@pytest.mark.parametrize("shared", [False, True], ids=["own-context", "control-one-context"])
async def test_request_knows_nothing_of_what_the_one_before_set(
    handler: Any, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Both run in the same thread; the control lets them share what contexts keep apart."""
    handler._threads = ThreadPoolExecutor(1)
    if shared:
        monkeypatch.setattr(
            "config.asgi.contextvars.copy_context", lambda: Mock(run=lambda action, *rest: action(*rest))
        )

    first, second = await answer(handler, "view"), await answer(handler, "view")

    assert (first == second) is not shared


async def test_stream_comes_in_its_parts(handler: Any) -> None:
    assert await answer(handler, "stream") == (200, b"ab")


async def test_many_requests_at_once_are_all_answered(handler: Any) -> None:
    answers = await asyncio.gather(*(answer(handler, "view", f"{number}".encode()) for number in range(60)))

    assert [body.split()[-1] for _, body in answers] == [f"{number}".encode() for number in range(60)]


async def test_client_that_leaves_before_its_body_is_there_is_forgotten(handler: Any) -> None:
    seen.clear()
    client = ApplicationCommunicator(handler, scope("view"))
    await client.send_input({"type": "http.disconnect"})
    await client.wait(5)

    assert seen == []
    assert await client.receive_nothing()


async def test_file_is_read_piece_by_piece_in_the_threads_of_requests(handler: Any) -> None:
    seen.clear()

    status, body = await answer(handler, "file")

    assert (status, len(body)) == (200, 200_000)
    readers = [thread for what, thread in seen if what == "read"]
    assert len(readers) >= 3
    assert all(thread.startswith("request") for thread in readers)
