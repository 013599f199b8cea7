"""Whose address a request comes from, whatever the client writes into its headers."""

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from core.addresses import client_address, network_of, site_of
from core.sockets import request_of

PROXIES = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.9", "", "203.0.113.9", id="no-header"),
        pytest.param("203.0.113.9", "198.51.100.1", "203.0.113.9", id="stranger-says"),
        pytest.param("203.0.113.9", "10.0.0.1", "203.0.113.9", id="stranger-says-it-is-a-proxy"),
        pytest.param("10.0.0.1", "198.51.100.1", "198.51.100.1", id="proxy-says"),
        pytest.param("192.0.2.1", "198.51.100.1", "198.51.100.1", id="proxy-named-alone"),
        pytest.param("192.0.2.2", "198.51.100.1", "192.0.2.2", id="neighbour-of-a-proxy"),
        pytest.param("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1", id="client-prepended"),
        pytest.param("10.0.0.1", "10.9.9.9, 198.51.100.1", "198.51.100.1", id="client-prepended-a-proxy"),
        pytest.param("10.0.0.1", "198.51.100.1, 10.200.0.2", "198.51.100.1", id="two-proxies"),
        pytest.param("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7", id="stops-at-the-first-stranger"),
        pytest.param("10.0.0.1", " , ,", "10.0.0.1", id="empty-hops"),
        pytest.param("10.0.0.1", "10.0.0.2", "10.0.0.2", id="only-proxies"),
        pytest.param("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1", id="garbage-last"),
        pytest.param("10.0.0.1", "<script>, 198.51.100.1", "198.51.100.1", id="garbage-first"),
        pytest.param("10.0.0.1", "198.51.100.1:4711", "198.51.100.1", id="with-port"),
        pytest.param("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7", id="ipv6-with-port"),
        pytest.param("10.0.0.1", "2001:DB8:0::7", "2001:db8::7", id="ipv6-spelling"),
        pytest.param("fd00::1", "198.51.100.1", "198.51.100.1", id="ipv6-proxy"),
        pytest.param("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1", id="mapped-proxy"),
        pytest.param("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1", id="mapped-client"),
        pytest.param("10.0.0.1", "198.51.100.999", "10.0.0.1", id="no-address"),
        pytest.param("10.0.0.1", ",".join(["198.51.100.1", *["10.0.0.2"] * 5000]), "10.0.0.2", id="endless-chain"),
        pytest.param("", "198.51.100.1", "", id="unix-socket"),
    ],
)
def test_address_is_believed_as_far_as_trusted_proxies_wrote_it(
    peer: str, forwarded: str, expected: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}

    assert client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)) == expected


@pytest.mark.parametrize("name", ["X-Forwarded-For", "CF-Connecting-IP", "X-Real-IP", "Forwarded", "True-Client-IP"])
def test_without_trusted_proxies_nobody_is_believed(settings: Settings, name: str) -> None:
    settings.TRUSTED_PROXIES = []
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers={name: "1.1.1.1"})

    assert client_address(request) == "10.0.0.1"


@pytest.mark.parametrize("name", ["CF-Connecting-IP", "X-Real-IP", "Forwarded", "True-Client-IP"])
def test_even_of_a_proxy_only_one_header_is_read(settings: Settings, name: str) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    headers = {name: "1.1.1.1", "X-Forwarded-For": "198.51.100.1"}

    assert client_address(RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers=headers)) == "198.51.100.1"


@pytest.mark.parametrize(("peer", "redirected"), [("10.0.0.1", False), ("203.0.113.9", True), ("", True)])
def test_scheme_is_believed_of_trusted_proxies_alone(
    client: Client, settings: Settings, peer: str, redirected: bool
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True

    answer = client.get("/healthz", headers={"X-Forwarded-Proto": "https"}, REMOTE_ADDR=peer)

    assert (answer.status_code == 301) == redirected


def test_websocket_is_judged_as_a_request_is(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"198.51.100.1")]
    scope = {"type": "websocket", "path": "/ws/me", "headers": headers}

    assert client_address(request_of({**scope, "client": ["10.0.0.1", 5000]})) == "198.51.100.1"
    assert client_address(request_of({**scope, "client": ["203.0.113.9", 5000]})) == "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("", "unknown"),
        ("somewhere", "unknown"),
    ],
)
def test_one_client_is_one_address_or_one_network(address: str, expected: str) -> None:
    assert network_of(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("198.51.100.1", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:198.51.100.1", "198.51.100.0/24"),
        ("somewhere", "unknown"),
    ],
)
def test_many_clients_of_one_site_are_one_network(address: str, expected: str) -> None:
    assert site_of(address) == expected
