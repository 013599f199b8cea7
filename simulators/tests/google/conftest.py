from collections.abc import Iterator

import httpx
import pytest

from simulators.tests.simulator import run

REDIRECT = "http://shop.example/back"


@pytest.fixture(scope="package")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    arguments = ("--client-id", "shop", "--client-secret", "secret", "--redirect-uri", REDIRECT)
    with (
        run("simulators.google", tmp_path_factory.mktemp("google"), *arguments) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client


@pytest.fixture
def google(process: httpx.Client) -> httpx.Client:
    """Nothing misbehaves."""
    process.delete("/faults").raise_for_status()
    return process
