from collections.abc import Iterator

import httpx
import pytest

from simulators.tests.simulator import run


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        run("simulators.sms", tmp_path_factory.mktemp("sms")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client


@pytest.fixture
def sms(gateway: httpx.Client) -> httpx.Client:
    """The inbox is empty and nothing misbehaves."""
    gateway.delete("/messages").raise_for_status()
    gateway.delete("/faults").raise_for_status()
    return gateway


@pytest.fixture(scope="package")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Only the key `right` will do, and only the template `otp`."""
    arguments = ("--require-key", "right", "--template", "otp=Your code: %token\n@shop.example #%token")
    with (
        run("simulators.sms", tmp_path_factory.mktemp("strict"), *arguments) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client
