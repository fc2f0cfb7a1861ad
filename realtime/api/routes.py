"""Puts the HTTP API onto an aiohttp application."""

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Final

import msgspec
from aiohttp import web

from realtime.api.alerts.sos import DESK, SosDesk
from realtime.api.framework import errors, openapi, spellings
from realtime.api.framework.context import ApiContext
from realtime.api.framework.operation import AnyOperation, Operation, OperationCall, answer
from realtime.api.framework.ports import Health
from realtime.api.framework.shapes import NoBody, NoPath, NoQuery
from realtime.api.table import ABOUT, API, SOS

SERVER_LIMITS: Final = {"max_line_size": 32_768, "max_field_size": 32_768, "auto_decompress": False}
"""For ``web.AppRunner(app, **SERVER_LIMITS)``: a longer token or id than is valid gets a coded answer
instead of the parser's own. Bodies are decoded by `realtime.http.bodies`."""

HSTS: Final = "max-age=31536000"
"""A year. Not for sub-domains: they are other systems, which may have no certificate."""


def add_api(app: web.Application, context: ApiContext) -> None:
    """Adds every operation, the OpenAPI document and the coded errors of ``/api/…`` to ``app``.

    ``app`` is to have a desk for SOS under `realtime.api.alerts.sos.DESK`.
    """
    operations = [*API, *SOS, *ABOUT, _document_operation(context.settings.public_url)]
    _register(app, operations, context.health, context)


def add_worker_api(app: web.Application, desk: SosDesk, health: Health) -> None:
    """Adds what a worker answers of the API: an SOS, and about itself."""
    app[DESK] = desk
    _register(app, [*SOS, *ABOUT], health, None)


def require_https(app: web.Application, public_url: str) -> None:
    """Have browsers come by https alone from their first visit on, when ``public_url`` is https.

    On every response; browsers pass it over where it comes by plain http (RFC 6797 §8.1).
    """
    if not public_url.startswith("https:"):
        return

    async def add(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("Strict-Transport-Security", HSTS)

    app.on_response_prepare.append(add)


def _register(
    app: web.Application, operations: Sequence[AnyOperation], health: Health, context: ApiContext | None
) -> None:
    errors.hush_the_parser()
    errors.hide_versions()
    app.middlewares.append(errors.middleware)
    for operation in operations:
        handler = partial(answer, operation, health=health, context=context)
        for path in spellings.paths(operation.path):
            app.router.add_route(operation.method, path, handler)


@lru_cache(maxsize=8)
def _document_operation(public_url: str) -> AnyOperation:
    """Describe every operation. It takes about 0.1 s of CPU, so the instances of a process share it."""

    async def serve(call: OperationCall[NoPath, NoQuery, NoBody]) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    itself = Operation(
        id="openapi",
        method="GET",
        path="/api/v1/openapi.json",
        summary="This document.",
        handler=serve,
        answer=openapi.OpenApiDocument,
        open_to_all=True,
    )
    described = openapi.document([*API, *SOS, *ABOUT, itself], public_url, version("wayguard"))
    body = msgspec.json.encode(described)
    return itself
