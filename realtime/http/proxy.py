"""Whose address a request has, behind proxies trusted and not; which web origins are ours."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from aiohttp import web

from realtime.settings import Settings

MAX_CHARS: Final = 64
"""Characters of a hop that is no address."""
MAX_HOPS: Final = 32
"""Hops that are looked at, from the near end."""

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_BRACKETED: Final = re.compile(r"\[([0-9a-fA-F:.]+)(?:%[^\]]*)?\](?::\d{0,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]+):\d{0,5}")


def address_in(hop: str) -> IPv4Address | IPv6Address | None:
    """Read the address of one hop; None when it has none (``unknown``, a hidden name, garbage).

    Proxies write ``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]``,
    ``[2001:db8::1]:4711``, any of them in quotes, and IPv4 as ``::ffff:192.0.2.1``, which is returned as
    IPv4.
    """
    text = hop.strip().strip('"')
    found = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        parsed = ip_address((found[1] if found else text).partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


class Addresses:
    """Believes ``X-Forwarded-For`` only from the networks in ``trusted``, hop by hop from the near end."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted]

    def of(self, request: web.Request) -> str:
        """The client's address without its port; an empty text over a unix socket without a proxy.

        It is that of the nearest hop that is not trusted. Where a trusted proxy names none there, it is what
        the proxy wrote, cut: another than the proxy's own, which would be the same for all behind it.
        """
        # A proxy may add a line of its own.
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        hops = [hop.strip() for hop in forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:] if hop.strip()]
        hop = request.remote or ""
        while hops and self._is_trusted(hop):
            hop = hops.pop()
        address = address_in(hop)
        return hop[:MAX_CHARS] if address is None else str(address)

    def _is_trusted(self, hop: str) -> bool:
        address = address_in(hop)
        if address is None:
            return not hop  # a unix socket has no address, and only who is on this machine has it
        return any(address in network for network in self._trusted)

    @staticmethod
    def origin_rule(settings: Settings) -> Any:
        """For ``cors_allowed_origins``: our own origin, the public URL's, and those in the settings."""
        extra = frozenset(settings.allowed_origins)

        def allowed(origin: str, environ: dict[str, Any]) -> bool:
            return origin in extra or is_own_origin(settings, origin, environ)

        return allowed


def is_own_origin(settings: Settings, origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Whether a page of ``origin`` is one of ours: of the host that the request of ``environ`` was made to,
    or of the public URL. The settings' further origins bring tokens of their own; cookies are not for them.
    """
    if not origin:
        return False
    # Each proxy on the way may add its own; what the client spoke is the first.
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", environ.get("wsgi.url_scheme", "http"))
    scheme = forwarded.partition(",")[0].strip()
    asked = f"{scheme}://{environ.get('HTTP_HOST', '')}"
    return normal_origin(origin) in (normal_origin(asked), normal_origin(origin_of(settings.public_url)))


def normal_origin(origin: str) -> str:
    """``origin`` as browsers write it (RFC 6454 §6.2): lower case, without the port that its scheme has
    anyway."""
    scheme, _, host = origin.strip().lower().partition("://")
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, ' '))}"


def asked_at(request: web.Request) -> dict[str, str]:
    """What `is_own_origin` needs of a request that came without an environ."""
    return {
        "HTTP_HOST": request.headers.get("Host", ""),
        "HTTP_X_FORWARDED_PROTO": request.headers.get("X-Forwarded-Proto", request.scheme),
    }


def origin_of(url: str) -> str:
    """Scheme, host and port of ``url``."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0]}"
