from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from simulators.tests.simulator import run


@dataclass(frozen=True)
class MailServer:
    """Its inbox over HTTP, and where it speaks SMTP."""

    http: httpx.Client
    host: str
    port: int


@pytest.fixture(scope="package")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with (
        run("simulators.mail", tmp_path_factory.mktemp("mail")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        host, _, port = ready["smtp"].partition(":")
        yield MailServer(client, host, int(port))


@pytest.fixture
def server(process: MailServer) -> MailServer:
    """The inbox is empty and nothing misbehaves."""
    process.http.delete("/messages").raise_for_status()
    process.http.delete("/faults").raise_for_status()
    return process
