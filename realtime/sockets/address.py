"""Whose address a request has, behind proxies trusted and not; which web origins are ours."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from aiohttp import web

from realtime.settings import Settings


class Addresses:
    """Believes ``X-Forwarded-For`` only from the networks in ``trusted``, hop by hop from the near end."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ip_network(network) for network in trusted]

    def of(self, request: web.Request) -> str:
        """The client's address, or an empty text over a unix socket without a proxy."""
        address = request.remote or ""
        forwarded = ",".join(
            request.headers.getall("X-Forwarded-For", ())
        )  # a proxy may add a line of its own
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
        while hops and self._is_trusted(address):
            address = hops.pop()
        return address[:64]

    def _is_trusted(self, address: str) -> bool:
        if not address:
            return True
        try:
            parsed: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._trusted)

    @staticmethod
    def origin_rule(settings: Settings) -> Any:
        """For ``cors_allowed_origins``: our own origin, the public URL's, and those in the settings."""
        extra = frozenset(settings.allowed_origins)

        def allowed(origin: str, environ: dict[str, Any]) -> bool:
            return origin in extra or is_own_origin(settings, origin, environ)

        return allowed


def is_own_origin(settings: Settings, origin: str, environ: Mapping[str, Any]) -> bool:
    """Whether a page of ``origin`` is one of ours: of the host that the request of ``environ`` was made to,
    or of the public URL. The settings' further origins bring tokens of their own; cookies are not for them.
    """
    scheme = environ.get("HTTP_X_FORWARDED_PROTO", environ.get("wsgi.url_scheme", "http"))
    return origin in (f"{scheme}://{environ.get('HTTP_HOST', '')}", origin_of(settings.public_url))


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
