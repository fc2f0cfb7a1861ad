"""HTTP to addresses that strangers gave us.

Every socket is checked as it is made, with the very address it is going to connect to: neither a name that
resolves to the inside, nor one that resolves differently the second time, nor an odd way to write an address
gets past that. No redirects, no proxies, no cookies; what comes back is read up to a bound.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from alerts.notifiers.names import GetAddresses, Names

URL_CHARS: Final = 2_000
READ_BYTES: Final = 4_096
"""Of an answer at most; the rest is not waited for."""
SENT_BYTES: Final = 65_536
CONNECT_SHARE: Final = 0.5
"""Of the time for a call, what connecting may take."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.ip_network("64:ff9b:1::/48")


class HttpResponse(Struct, frozen=True):
    """What came back."""

    status: int
    retry_after: str | None


class Forbidden(Exception):
    """The address is one that nobody outside may send us to."""


class NotConnected(Exception):
    """Nothing was sent; ``args[0]`` is why."""


class Lost(Exception):
    """It was or may have been sent, and no answer came; ``args[0]`` is why."""


def is_public(address: str) -> bool:
    """Whether ``address`` (digits, no name) is one of the open internet."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip.teredo is not None or ip.sixtofour is not None or ip in _LOCAL_NAT64 or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def refusal_of_url(url: str, allow_private: bool = False) -> str | None:
    """Why ``url`` is none to send to, as far as that shows without asking anybody; None: it may be one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "bad_url"
    if len(url) > URL_CHARS or any(ord(char) <= 32 or ord(char) == 127 for char in url) or not host:
        return "bad_url"
    if parts.username is not None or parts.password is not None or port == 0:
        return "bad_url"
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        return "not_https"
    literal = ":" in host or host.replace(".", "").isdigit()
    local = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    if not allow_private and (local or (literal and not is_public(host))):
        return "forbidden_address"
    return None


class GuardedHttp:
    """Calls to strangers; `close` ends it. ``allow_private``: http and the inside too, for stand-ins.

    ``get_addresses`` looks names up; the calls of one `GuardedHttp` never wait for those of another.
    """

    def __init__(
        self, allow_private: bool = False, *, get_addresses: GetAddresses = socket.getaddrinfo
    ) -> None:
        self._allow_private = allow_private
        self._get_addresses = get_addresses
        self._session: aiohttp.ClientSession | None = None
        self._names: Names | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> HttpResponse:
        """Send once. Raises Forbidden, NotConnected or Lost."""
        if (refusal := refusal_of_url(url, self._allow_private)) is not None:
            raise Forbidden(refusal)
        if len(body) > SENT_BYTES:
            raise NotConnected("too_large")
        if timeout_s <= 0:
            raise NotConnected("timeout")
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s * CONNECT_SHARE)
        try:
            async with self._open().post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                answer = HttpResponse(response.status, response.headers.get("Retry-After"))
                await _read_some(response)
                return answer
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Inside):
                raise Forbidden("forbidden_address") from error
            raise NotConnected("no_connection") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotConnected("timeout") from error
        except TimeoutError as error:
            raise Lost("timeout") from error
        except aiohttp.InvalidURL as error:
            raise Forbidden("bad_url") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Lost("connection_lost") from error

    async def close(self) -> None:
        """Close the connections and end the look-ups. Waits for no name server. Is idempotent."""
        session, self._session = self._session, None
        names, self._names = self._names, None
        if session is not None:
            await session.close()
        if names is not None:
            await names.close()  # aiohttp closes only a resolver that it has made

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._names = Names(get_addresses=self._get_addresses)
            # Without limits of its own: how many calls are under way, and to which host, its callers bound.
            connector = aiohttp.TCPConnector(
                resolver=self._names,
                socket_factory=self._socket,
                use_dns_cache=False,
                force_close=True,
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "Wayguard"},
            )
        return self._session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for one resolved address; what it connects to is ``address`` itself."""
        family, kind, protocol, _, where = address
        if not (self._allow_private or is_public(str(where[0]))):
            raise _Inside("forbidden address")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


class _Inside(OSError):
    """A socket to the inside was asked for."""


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """Take the beginning of the body, so that the other side sees it was read; then hang up."""
    try:
        await response.content.read(READ_BYTES)
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
        pass  # the status is what counts
    finally:
        response.close()
