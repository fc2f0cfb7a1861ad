"""What an instance says about itself: alive, ready, its metrics. Needs no token and no database."""

from typing import Final

from aiohttp import web

from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Healthy, NoBody, NoPath, NoQuery, Ready
from realtime.metrics import registry
from realtime.protocol import Code, Refused

AboutCall = OperationCall[NoPath, NoQuery, NoBody]

FORWARDED: Final = frozenset({"x-forwarded-for", "forwarded", "x-real-ip", "via"})
"""Headers that a proxy adds, in lower case; our balancer sets the first on every request."""


async def healthz(call: AboutCall) -> Healthy:
    """200 as long as the event loop turns, draining or not."""
    return Healthy()


async def readyz(call: AboutCall) -> Ready:
    """200 when every check is fine; else 503 naming those that are not, with what is known of the reason.

    Either names what an operator has to mend. A request that a proxy forwarded is from outside: its answer
    has the status alone, since details and warnings disclose the release and the faults of the store.
    """
    condition = call.health()
    found = dict(condition.checks)
    checks = {name: state is True for name, state in found.items()}
    failing = sorted(name for name, fine in checks.items() if not fine)
    if not FORWARDED.isdisjoint(name.lower() for name in call.request.headers):
        if failing:
            raise Refused(Code.UNAVAILABLE, "not ready", retry_after_s=1)
        return Ready()
    if failing:
        details = {name: state for name, state in found.items() if isinstance(state, str)}
        extra: dict[str, object] = {"details": details} if details else {}
        if condition.warnings:
            extra["warnings"] = dict(condition.warnings)
        raise Refused(
            Code.UNAVAILABLE, f"not ready: {', '.join(failing)}", retry_after_s=1, checks=checks, **extra
        )
    return Ready(checks=checks, warnings=dict(condition.warnings))


async def metrics_text(call: AboutCall) -> web.StreamResponse:
    """Prometheus text format."""
    body, content_type = registry.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})
