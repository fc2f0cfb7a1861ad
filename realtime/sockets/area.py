"""Area feeds of ``/watch``: what a map shows, of every vendor its viewer may see.

A viewer has one area. Asking again moves it, and the answer is what that changed.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from geo import cells
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.fanout.engineio import frames
from realtime.fanout.feeds.areas import AreaJoin
from realtime.fanout.feeds.grid import Region
from realtime.fanout.hub.hub import Hub
from realtime.live.limiter import RedisLimiter
from realtime.live.topics import POSITIONS, PRESENCE, presences, vendor_channel
from realtime.protocol import AreaRequest, Code, Refused, identifier
from realtime.rate_limits import TokenBucket
from realtime.sockets.alerts import AlertWatch
from realtime.sockets.connection import Connection
from realtime.store.db.database import Database
from realtime.store.people import tenants as identity

log = logging.getLogger(__name__)

LABEL: Final = "area"
COUNTS_BELOW_ZOOM: Final = 5.0
"""A map that shows a continent: thousands of markers would hide each other."""
MOVES_PER_S: Final = 5.0
MOVES_BURST: Final = 20.0
MAX_VENDORS: Final = 256


@dataclass(slots=True)
class _Viewer:
    """One viewer's map: where it looks, and its vendors while they are all of the tenant's, also those to
    come.
    """

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    moves: TokenBucket = field(
        default_factory=lambda: TokenBucket.full(MOVES_PER_S, MOVES_BURST, time.monotonic())
    )
    listed: frozenset[str] | None = None
    regions: tuple[Region | None, Region] | None = None


class AreaWatch:
    """Who looks at which area. ``start`` begins to look for new vendors, ``stop`` ends that."""

    def __init__(
        self,
        db: Database,
        hub: Hub,
        limiter: RedisLimiter,
        namespace: str,
        alerts: AlertWatch,
        vendors_check_s: float,
    ) -> None:
        self._db = db
        self._alerts = alerts
        self._hub = hub
        self._limiter = limiter
        self._namespace = namespace
        self._vendors_check_s = vendors_check_s
        self._viewers: dict[Connection, _Viewer] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for vendors that are new."""
        self._task = asyncio.ensure_future(self._look_for_vendors())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._viewers)

    def check(self, connection: Connection, asked: AreaRequest) -> None:
        """Count a move. Raises Refused for who may not look, for a box or zoom that is none, and for more
        moves than `MOVES_PER_S`.
        """
        if connection.principal.role not in authorize.OVERSEERS:
            raise Refused(Code.FORBIDDEN, "areas are for dispatchers, admins and services")
        _regions(asked)
        viewer = self._viewers.setdefault(connection, _Viewer())
        wait_s = viewer.moves.take(1.0, time.monotonic())
        if wait_s:
            raise Refused(Code.RATE_LIMITED, "area was moved too often", retry_after_s=wait_s)

    async def watch(self, connection: Connection, asked: AreaRequest) -> bytes:
        """Look at an area that `check` has let through. Moves of one viewer take turns, in their order."""
        viewer = self._viewers.get(connection) or _Viewer()  # it may have gone meanwhile
        regions = _regions(asked)
        async with viewer.turn:  # before anything is waited for, so that the order is that of the requests
            await self._limiter.check(connection.principal, "watch")
            vendors, are_all = await self._vendors(connection.principal, asked.vendors)
            told = await self._join(connection, vendors, *regions)
            viewer.regions = regions
            viewer.listed = frozenset(vendors) if are_all else None
        return _answer(told, self._alerts.of_vendors(connection.principal, vendors))

    async def _join(
        self, connection: Connection, vendors: Sequence[str], markers: Region | None, counts: Region
    ) -> AreaJoin:
        channels = [vendor_channel(connection.principal.tenant, vendor) for vendor in vendors]
        told = await self._hub.join.area(channels, LABEL, markers, counts, connection.socket)
        if connection.left:  # it may leave the namespace, its transport staying, while it is let in
            self._hub.leave(LABEL, connection.socket)
        return told

    async def _vendors(self, principal: Principal, wanted: Sequence[str] | None) -> tuple[list[str], bool]:
        """The vendors to show, and whether they are all of the tenant's. Raises Refused."""
        if wanted is not None:
            vendors = sorted({identifier(vendor, "vendor") for vendor in wanted})
            for vendor in vendors:
                if not authorize.may_watch_vendor(principal, vendor):
                    raise Refused(Code.NOT_FOUND, "vendor is not known")
        elif principal.vendors is not None:
            vendors = sorted(principal.vendors)
        else:
            vendors = await identity.vendors_of(self._db, principal.tenant, MAX_VENDORS + 1)
        if len(vendors) > MAX_VENDORS:
            raise Refused(Code.TOO_MANY_FEEDS, f"more than {MAX_VENDORS} vendors: name those to show")
        return vendors, wanted is None and principal.vendors is None

    def unwatched(self, connection: Connection) -> None:
        """The viewer does not look at an area any more."""
        if (viewer := self._viewers.get(connection)) is not None:
            viewer.listed = None

    def left(self, connection: Connection) -> None:
        """The viewer has gone."""
        self._viewers.pop(connection, None)

    # --- vendors that come later

    async def _look_for_vendors(self) -> None:
        while True:
            await asyncio.sleep(self._vendors_check_s)
            try:
                await self._add_new_vendors()
            except Refused:
                log.debug("new vendors are looked for later")
            except Exception:
                log.exception("looking for new vendors failed")

    async def _add_new_vendors(self) -> None:
        """Have those who see a whole tenant see its new vendors too."""
        tenants: dict[str, list[tuple[Connection, _Viewer]]] = {}
        for connection, viewer in self._viewers.items():
            if viewer.listed is not None:
                tenants.setdefault(connection.principal.tenant, []).append((connection, viewer))
        for tenant, viewers in tenants.items():
            vendors = await identity.vendors_of(self._db, tenant, MAX_VENDORS)
            for connection, viewer in viewers:
                if viewer.listed != frozenset(vendors):
                    await self._widen(connection, viewer, vendors)

    async def _widen(self, connection: Connection, viewer: _Viewer, vendors: Sequence[str]) -> None:
        async with viewer.turn:
            watched = LABEL in self._hub.labels(connection.socket)
            if viewer.listed is None or viewer.regions is None or not watched:
                return
            told = await self._join(connection, vendors, *viewer.regions)
            viewer.listed = frozenset(vendors)
        label = frames.json_bytes(LABEL)
        if told.fresh:  # what was there can only be replaced, and that is for the viewer to ask for
            viewer.listed = None
            self._hub.leave(LABEL, connection.socket)
            connection.emit("reset", {"feed": LABEL})
            return
        if told.counts:
            counts = frames.listed(told.counts)
            connection.socket.write(frames.event(self._namespace, "counts", label, counts))
        for kind, fragments in told.snapshot.items():
            for argument in [frames.listed(fragments)] if kind == POSITIONS else fragments:
                connection.socket.write(frames.event(self._namespace, kind, label, argument))


def _regions(asked: AreaRequest) -> tuple[Region | None, Region]:
    """The cells for markers, None at a zoom without any, and those for counts. Raises Refused(invalid)."""
    (south, west), (north, east) = asked.bbox
    try:
        looked_at = cells.box(south, west, north, east)
        counts = Region(*cells.view(looked_at, asked.zoom, finer=1))
        if asked.zoom < COUNTS_BELOW_ZOOM:
            return None, counts
        return Region(*cells.view(looked_at, asked.zoom)), counts
    except ValueError as error:
        raise Refused(Code.INVALID, str(error)) from error


def _answer(told: AreaJoin, alerts: bytes) -> bytes:
    body: dict[str, Any] = {
        "feed": LABEL,
        "mode": "counts" if told.counted else "markers",
        "fresh": told.fresh,
        "left": told.left,
    }
    return b'{"ok":true,%b,"counts":%b,"snapshot":{"positions":%b,"presence":%b,"alerts":%b}}' % (
        frames.json_bytes(body)[1:-1],
        frames.listed(told.counts),
        frames.listed(told.snapshot.get(POSITIONS, ())),
        presences(told.snapshot.get(PRESENCE, ())),
        alerts,
    )
