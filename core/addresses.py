"""Whose address a request comes from.

Only `X-Forwarded-For` is read, and only as far as proxies named in `TRUSTED_PROXIES` wrote it: each appends the peer it
saw, so the list is walked from its end. Whether they were reached by https is believed of the same proxies alone
(`X-Forwarded-Proto`). `CF-Connecting-IP` and the like are the client's to write wherever somebody
reaches us past that proxy, and are not believed.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# What one household or phone is given: whoever has one address of it has all of them.
IPV6_CLIENT_PREFIX = 64
# What one abuser easily has many addresses in: a small provider's IPv4 network, a customer's largest of IPv6.
IPV4_SITE_PREFIX, IPV6_SITE_PREFIX = 24, 48
# A longer chain of proxies is somebody's invention.
_MOST_HOPS = 20
_SCHEME = "HTTP_X_FORWARDED_PROTO"


def client_address(request: HttpRequest) -> str:
    """The client's IP address; what the server called the peer where that is none (a Unix socket's is empty)."""
    return _behind_proxies(request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", ""))


def forget_scheme_of_strangers(request: HttpRequest) -> None:
    """Drop an `X-Forwarded-Proto` that no trusted proxy sent, before anybody asks whether the request is secure."""
    if _SCHEME in request.META and not _is_trusted(_parse(request.META.get("REMOTE_ADDR", ""))):
        del request.META[_SCHEME]


def network_of(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_CLIENT_PREFIX), strict=False))
    return str(parsed) if parsed else "unknown"


def site_of(address: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) an address lies in, for limits that several clients share."""
    parsed = _parse(address)
    if parsed is None:
        return "unknown"
    prefix = IPV6_SITE_PREFIX if isinstance(parsed, IPv6Address) else IPV4_SITE_PREFIX
    return str(ip_network((parsed, prefix), strict=False))


@lru_cache(maxsize=8)
def networks(entries: tuple[str, ...]) -> tuple[Network, ...]:
    """Addresses and CIDR networks, parsed. Raises `ValueError` for what is neither."""
    return tuple(ip_network(entry) for entry in entries)


def _is_trusted(address: Address | None) -> bool:
    return address is not None and any(address in network for network in networks(tuple(settings.TRUSTED_PROXIES)))


def _behind_proxies(peer: str, forwarded: str) -> str:
    address = _parse(peer)
    if address is None:
        return peer
    for hop in reversed(forwarded.split(",")[-_MOST_HOPS:]):
        if not _is_trusted(address):
            break
        if not hop.strip():
            continue
        said = _parse(hop)
        if said is None:
            break  # a proxy of ours saw it, but what it saw is no address: the proxy is the last one known
        address = said
    return str(address)


def _parse(text: str) -> Address | None:
    """An address, with or without a port or brackets; an IPv4 address mapped into IPv6 is itself."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
