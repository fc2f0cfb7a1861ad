"""Whether a text of the settings is a URL of its kind. No message of this module quotes the text.

Each check returns the reason why it is none, empty when it is one: a URL holds a password, and the usual
mistake is a character of it that is not percent-encoded, which would make any part of the text a secret.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ENCODE: Final = "special characters of a password are percent-encoded: @ is %40, : %3A, / %2F, # %23, ? %3F"

_SSL_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_BAD: Final = re.compile(r"[\x00-\x20\x7f]")
_HOST: Final = re.compile(r"[^\s!-,/:-@\[-\^`{-\x7f]+")
"""A host without brackets: letters of any script, digits, dots, hyphens, underscores."""
_MAX_HOST_CHARS: Final = 253
_MAX_LABEL_CHARS: Final = 63


def postgres_fault(url: str) -> str:
    """Why ``url`` is no URL of Postgres: one host or several, or a socket's folder as ``?host=``."""
    if fault := _form_fault(url, ("postgres", "postgresql"), "postgresql://user:password@host:5432/database"):
        return fault
    parts = urlsplit(url)
    if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
        return ENCODE
    if fault := _hosts_fault(parts.netloc.rpartition("@")[2]):
        return fault
    try:
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        return "what follows the ? is not name=value"
    if not all(_is_port(port) for port in query.get("port", "5432").split(",")):
        return "port= is no port"
    if (mode := query.get("sslmode")) is not None and mode not in _SSL_MODES:
        return f"sslmode= is none of {', '.join(sorted(_SSL_MODES))}"
    return ""


def redis_fault(url: str) -> str:
    """Why ``url`` is no URL of one Redis or of a Cluster."""
    if fault := _form_fault(url, sorted(_REDIS_SCHEMES), "redis://user:password@host:6379/0"):
        return fault
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    if parts.fragment:
        return ENCODE
    if parts.scheme == "unix":
        fits = not hosts and parts.path.strip("/")
        return "" if fits else "a socket is unix:///path/of/the/socket, user:password@ stands before its path"
    if fault := _hosts_fault(hosts):
        return fault
    if not hosts.strip(","):
        return "it names no host"
    if "," in hosts and "cluster" not in parts.scheme:
        return "several hosts are a Cluster: redis+cluster://"
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        return f"the path is the number of a database; {ENCODE}"
    return ""


def http_fault(url: str) -> str:
    """Why ``url`` cannot be spoken to by HTTP."""
    if fault := _form_fault(url, ("http", "https"), "https://host/path"):
        return "not an http address: " + fault
    return "not an http address" if not _is_http_host(urlsplit(url)) else ""


def origin_fault(url: str) -> str:
    """Why ``url`` is more than scheme, host and port, or less."""
    if fault := http_fault(url):
        return fault
    parts = urlsplit(url)
    if _is_no_ones(parts.hostname or ""):
        return "its host is an address that no one machine has; write the name or address that phones reach"
    if parts.username is not None:
        return "it has a user name; it stands in links that are handed to people"
    if parts.path.strip("/") or parts.query or parts.fragment or url.endswith(("?", "#")):
        return "it has a path: the system is served at the root of a host, give it a host name of its own"
    return ""


def origin(url: str) -> str:
    """Scheme, host and port of ``url`` as a browser writes them: lower case, no default port."""
    parts = urlsplit(url)
    scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def is_loopback(url: str) -> bool:
    """Whether ``url`` is an HTTP address of this machine that no other machine has."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.username is not None or not parts.hostname:
            return False
        return parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def without_login(url: str) -> str:
    """``url`` as a finding may show it: no user name, password, query or fragment."""
    scheme, found, rest = url.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{place}" if found else "(not a URL)"


def _form_fault(url: str, schemes: Sequence[str], example: str) -> str:
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in schemes:
        return f"it does not begin with {' or '.join(f'{name}://' for name in schemes)}; write {example}"
    if _BAD.search(url):
        return "it has a space or a control character"
    try:
        urlsplit(url)
    except ValueError:
        return f"its host cannot be read; {ENCODE}"
    return ""


def _hosts_fault(hosts: str) -> str:
    """Why ``host:port,host:port`` is none. No host at all is a local one."""
    return "" if all(_is_host(host) for host in hosts.split(",") if host) else f"bad host or port; {ENCODE}"


def _is_host(text: str) -> bool:
    """Whether ``text`` is a host, ``host:port``, ``[IPv6]``, ``[IPv6]:port`` or a socket's encoded folder."""
    if text.startswith("["):
        address, found, rest = text[1:].partition("]")
        try:
            IPv6Address(address.partition("%")[0])
        except ValueError:
            return False
        return bool(found) and (not rest or (rest[0] == ":" and _is_port(rest[1:])))
    host, colon, port = text.partition(":")
    if colon and not _is_port(port):
        return False
    name = unquote(host)
    return name.startswith("/") or _is_host_name(name)


def _is_host_name(name: str) -> bool:
    """Whether ``name`` is an IPv4 address, or labels that each have a letter or digit at both ends.

    Browsers and resolvers read a name that ends in a number as an IPv4 address. One dot may end it.
    """
    if not _HOST.fullmatch(name) or len(name) > _MAX_HOST_CHARS:
        return False
    labels = name.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        try:
            return bool(IPv4Address(name))
        except ValueError:
            return False
    return all(len(label) <= _MAX_LABEL_CHARS and _is_label(label) for label in labels)


def _is_label(label: str) -> bool:
    """Underscores at its ends too: names of services have them."""
    inner = label.strip("_")
    return bool(inner) and all(character.isalnum() for character in (inner[0], inner[-1]))


def _is_http_host(parts: SplitResult) -> bool:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0:
        return False
    return _is_host(parts.netloc.rpartition("@")[2].removesuffix(":"))


def _is_no_ones(host: str) -> bool:
    """Whether ``host`` is the unspecified address, a multicast or the broadcast one."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address.is_multicast or host == "255.255.255.255"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) <= 65_535
