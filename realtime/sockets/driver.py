"""``/driver``: journeys, positions and SOS in."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from msgspec import Raw

from geo.position import SEQ_MAX
from realtime.auth.tokens import Principal
from realtime.ingest.journey_logs import JourneyLogs
from realtime.ingest.pipeline import PositionService
from realtime.live.limiter import RedisLimiter
from realtime.live.presence import Reason
from realtime.live.presence_tracker import PresenceTracker
from realtime.live.publisher import LivePublisher
from realtime.live.successor import show_successor
from realtime.live.topics import ENDED, STARTED
from realtime.protocol import (
    Answer,
    Code,
    JourneyEnd,
    JourneyStart,
    Refused,
    given,
    journey_uuid,
    time_ms,
    uuid_text,
)
from realtime.sockets.connection import Connection
from realtime.sockets.dispatch import NamespaceEvents, decoded, later
from realtime.sockets.sos import SosEvents
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.people import tenants

NAMESPACE: Final = "/driver"
SOS: Final = frozenset({"sos", "sos:cancel", "sos:state"})
"""What a driver that was let in for that alone may send."""
MAX_VEHICLE_CHARS: Final = 100
MAX_EXTRA_BYTES: Final = 16 * 1024


class DriverEvents:
    """The handlers of ``/driver`` and what happens when a driver comes and goes.

    ``safety_url``: where apps send an SOS by HTTP first; empty = nowhere special.
    """

    def __init__(
        self,
        db: Database,
        journey_logs: JourneyLogs,
        positions: PositionService,
        publisher: LivePublisher,
        presence: PresenceTracker,
        limiter: RedisLimiter,
        now_ms: Callable[[], int],
        sos: SosEvents,
        safety_url: str = "",
    ) -> None:
        self._db = db
        self._safety_url = safety_url
        self.sos = sos
        self._journey_logs = journey_logs
        self._positions = positions
        self._publisher = publisher
        self._presence = presence
        self._limiter = limiter
        self._now_ms = now_ms
        self.events = NamespaceEvents(
            {
                "positions": self._on_positions,
                "journey:start": self._on_start,
                "journey:end": self._on_end,
                **sos.table(),
            }
        )

    async def admit(self, principal: Principal) -> int:
        """The epoch of a driver's new connection. Raises Refused: forbidden, unavailable."""
        if principal.role != "driver" or principal.driver is None or principal.home_vendor is None:
            raise Refused(Code.FORBIDDEN, "only a driver's token opens /driver")
        return await tenants.connect_driver(
            self._db, principal.tenant, principal.home_vendor, principal.driver
        )

    def joined(self, connection: Connection) -> None:
        """The driver is connected."""
        self.sos.joined(connection)
        if self._safety_url:
            connection.emit("safety", {"url": self._safety_url})
        if connection.only_sos is not None:
            connection.emit("sos:only", connection.only_sos.as_answer()["error"])
            return
        principal = connection.principal
        assert principal.driver is not None
        assert principal.home_vendor is not None
        self._presence.connected(principal.tenant, principal.home_vendor, principal.driver, connection.epoch)

    def left(self, connection: Connection, reason: Reason) -> None:
        """The connection has ended."""
        self.sos.left(connection)
        if not connection.epoch:
            return
        principal = connection.principal
        assert principal.driver is not None
        self._presence.disconnected(principal.tenant, principal.driver, connection.epoch, reason)

    def heard(self, connection: Connection) -> None:
        """The app sent something."""
        principal = connection.principal
        assert principal.driver is not None
        self._presence.heard(principal.tenant, principal.driver)

    # --- events

    def _on_positions(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        self._positions.accept(connection.principal, payload, answer, connection.bucket)

    def _on_start(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        start = decoded(payload, JourneyStart)
        client_id = UUID(uuid_text(start.client_journey_id, "client_journey_id"))
        start.started_at = time_ms(start.started_at, "started_at")
        if start.vehicle is not None and len(start.vehicle) > MAX_VEHICLE_CHARS:
            raise Refused(Code.INVALID, f"vehicle is longer than {MAX_VEHICLE_CHARS} characters")
        for name, value in (("destination", start.destination), ("route", start.route)):
            if len(bytes(value)) > MAX_EXTRA_BYTES:
                raise Refused(Code.INVALID, f"{name} is larger than {MAX_EXTRA_BYTES} bytes")
        later(connection, answer, self._start(connection.principal, client_id, start))

    async def _start(self, principal: Principal, client_id: UUID, start: JourneyStart) -> dict[str, Any]:
        assert principal.driver is not None
        assert principal.home_vendor is not None
        await self._limiter.check(principal, "journey:start")
        now_ms = self._now_ms()
        head = await journeys.start(
            self._db,
            principal.tenant,
            principal.home_vendor,
            principal.driver,
            client_id,
            start.started_at,
            start.vehicle,
            given(start.destination),
            given(start.route),
            now_ms,
        )
        if head.expired:
            raise Refused(Code.JOURNEY_EXPIRED, "journey is too old, start the next")
        known = self._journey_logs.opened(head)
        if head.created_ms == now_ms:
            self._tell(head, STARTED, now_ms)
        answer: dict[str, Any] = {
            "ok": True,
            "journey_id": str(head.journey_id),
            "next_seq": known.committed + 1,
        }
        if head.final_seq is not None:
            answer["last_seq"] = head.final_seq
        return answer

    def _on_end(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        end = decoded(payload, JourneyEnd)
        journey_id = journey_uuid(end.journey_id)
        end.ended_at = time_ms(end.ended_at, "ended_at")
        if not 0 <= end.last_seq <= SEQ_MAX:
            raise Refused(Code.INVALID, "last_seq is out of range")
        later(connection, answer, self._end(connection.principal, journey_id, end))

    async def _end(self, principal: Principal, journey_id: UUID, end: JourneyEnd) -> dict[str, Any]:
        assert principal.driver is not None
        head = await journeys.end(
            self._db, principal.tenant, principal.driver, journey_id, end.ended_at, end.last_seq
        )
        self._journey_logs.opened(head)
        now_ms = self._now_ms()
        self._tell(head, ENDED, now_ms)
        await show_successor(self._db, self._publisher, head, now_ms)
        return {"ok": True}

    def _tell(self, head: journeys.JourneyHead, state: str, at_ms: int) -> None:
        self._publisher.journey(head.tenant, head.vendor, head.driver, head.journey_id, state, at_ms)
