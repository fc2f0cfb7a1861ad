"""What python-engineio's handlers know of an HTTP request, and the protocol's answers to a wrong one."""

import sys
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from aiohttp import web

from realtime.fanout.engineio.frames import json_bytes


class RequestFault(Enum):
    """Why a request is refused: the codes and words of the reference server."""

    TRANSPORT = (0, "Transport unknown")
    SESSION = (1, "Session ID unknown")
    METHOD = (2, "Bad handshake method")
    REQUEST = (3, "Bad request")
    VERSION = (5, "Unsupported protocol version")


class BadRequest(Exception):
    """The request is refused because of ``fault``."""

    def __init__(self, fault: RequestFault) -> None:
        super().__init__(fault.value[1])
        self.fault = fault


def refusal(fault: RequestFault, headers: Mapping[str, str], status: int = 400) -> web.Response:
    """The answer to a wrong request."""
    code, message = fault.value
    body = json_bytes({"code": code, "message": message})
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


_PLAIN_KEYS: Final = {"CONTENT-TYPE": "CONTENT_TYPE", "CONTENT-LENGTH": "CONTENT_LENGTH"}


@lru_cache(maxsize=512)
def _key(header: str) -> str:
    name = header.upper()
    return _PLAIN_KEYS.get(name) or "HTTP_" + name.replace("-", "_")


def environ_of(request: web.Request, remote_address: str) -> dict[str, Any]:
    """``request`` as the WSGI-like dict that ``connect`` handlers get."""
    environ: dict[str, Any] = {
        "wsgi.input": request.content,
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "aiohttp",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "RAW_URI": request.path_qs,
        "SERVER_PROTOCOL": f"HTTP/{request.version[0]}.{request.version[1]}",
        "REMOTE_ADDR": remote_address,
        "REMOTE_PORT": "0",
        "SERVER_NAME": "aiohttp",
        "SERVER_PORT": "0",
        "PATH_INFO": request.path,
        "SCRIPT_NAME": "",
        "aiohttp.request": request,
    }
    for header, value in request.headers.items():
        key = _key(header)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", "http")
    return environ
