"""The points of a journey: a page as JSON, or all of them as GeoJSON or GPX, written page by page."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from aiohttp import web

from realtime.api.framework import errors
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import JourneyPath, JourneyPoints, NoBody, PointsQuery
from realtime.api.journeys import geojson, gpx
from realtime.api.journeys.journeys import visible
from realtime.protocol import Code, Refused
from realtime.store.journeys import points
from realtime.store.journeys.journeys import JourneyRecord
from realtime.store.journeys.points import Record

PointsCall = OperationCall[JourneyPath, PointsQuery, NoBody]
Pages = AsyncGenerator[list[Record], None]
Pieces = AsyncGenerator[bytes, None]

DEFAULT_PAGE: Final = 1_000
SETTLED_MS: Final = 3_600_000
"""How long after its last possible hour a journey is certain not to change, so that a replica will do."""


async def get_points(call: PointsCall) -> JourneyPoints | web.StreamResponse:
    """Points after ``since_seq`` in seq order."""
    async with asyncio.timeout(call.context.limits.request_timeout_s):
        journey = await visible(call)
    if call.query.format == "json":
        return await _page(call, journey)
    if call.query.limit is not None:
        raise Refused(Code.INVALID, f"limit does not go with format={call.query.format}")
    return await _stream(call, journey)


async def _page(call: PointsCall, journey: JourneyRecord) -> JourneyPoints:
    limit = call.query.limit or DEFAULT_PAGE
    since_seq = call.query.since_seq
    found = await _read(call, journey, since_seq, limit + 1)
    page = found[:limit]
    return JourneyPoints(
        journey_id=journey.journey_id,
        points=[record.point for record in page],
        voided=[(record.point.seq, record.void_reason) for record in page if record.void_reason is not None],
        clock_odd=[record.point.seq for record in page if record.clock_odd],
        through=page[-1].point.seq if page else since_seq,
        more=len(found) > limit,
    )


async def _read(call: PointsCall, journey: JourneyRecord, since_seq: int, limit: int) -> list[Record]:
    settings = call.context.settings
    age_ms = call.context.now_ms() - journey.created_ms
    settled = age_ms > settings.journey_max_h * 3_600_000 + SETTLED_MS
    return await points.records(
        call.context.db, journey.tenant, journey.journey_id, since_seq, limit, history=settled
    )


async def _pages(call: PointsCall, journey: JourneyRecord) -> Pages:
    since_seq, limit = call.query.since_seq, call.context.limits.stream_page_points
    while page := await _read(call, journey, since_seq, limit):
        yield page
        if len(page) < limit:
            return
        since_seq = page[-1].point.seq


async def _stream(call: PointsCall, journey: JourneyRecord) -> web.StreamResponse:
    """Writes the whole answer. What goes wrong after the first byte cuts the connection: an answer that
    ends early must not look complete."""
    content_type, render = _RENDERERS[call.query.format]
    pieces = render(_pages(call, journey), journey)
    first = await anext(pieces)
    name = f"journey-{journey.journey_id}.{call.query.format}"
    response = web.StreamResponse(
        headers={
            **errors.HEADERS,
            "Content-Type": content_type,
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    await response.prepare(call.request)
    timeout_s = call.context.limits.write_timeout_s
    try:
        await _write(response, first, timeout_s)
        async for piece in pieces:
            await _write(response, piece, timeout_s)
        await response.write_eof()
    except Exception as error:
        if not isinstance(error, ConnectionError | TimeoutError):
            errors.internal(error, call.request)
        if call.request.transport is not None:
            call.request.transport.abort()
    finally:
        await pieces.aclose()
    return response


async def _write(response: web.StreamResponse, piece: bytes, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        await response.write(piece)


async def _as_geojson(pages: Pages, journey: JourneyRecord) -> Pieces:
    before = geojson.HEAD
    async for page in pages:
        if features := geojson.features(page):
            yield before + b",".join(features)
            before = b","
    yield (geojson.HEAD if before == geojson.HEAD else b"") + geojson.TAIL


async def _as_gpx(pages: Pages, journey: JourneyRecord) -> Pieces:
    before = gpx.head(f"{journey.driver} {journey.journey_id}", journey.created_ms)
    track = gpx.Track()
    async for page in pages:
        yield (before + track.points(page)).encode()
        before = ""
    yield (before + gpx.TAIL).encode()


_RENDERERS: Final[dict[str, tuple[str, Callable[[Pages, JourneyRecord], Pieces]]]] = {
    "geojson": (geojson.CONTENT_TYPE, _as_geojson),
    "gpx": (gpx.CONTENT_TYPE, _as_gpx),
}
