"""``/watch``: feeds out, to dispatchers, to drivers about themselves, and to contacts with a share link."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from msgspec import Raw

from alerts.alert import Alert
from realtime.admission.guests import GuestLinks
from realtime.alerting.views import is_open
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.fanout.hub.hub import Hub
from realtime.fanout.hub.joining import Beside
from realtime.live.limiter import RedisLimiter
from realtime.live.topics import (
    ENDED,
    EXPIRED,
    PRESENCE,
    journey_channel,
    vendor_channel,
)
from realtime.protocol import (
    Answer,
    Code,
    FeedRequest,
    Refused,
    Unwatch,
    Watch,
    alert_uuid,
    identifier,
    journey_uuid,
    shown,
)
from realtime.sockets import responses
from realtime.sockets.alerts import AlertWatch
from realtime.sockets.area import LABEL as AREA
from realtime.sockets.area import AreaWatch
from realtime.sockets.connection import Connection
from realtime.sockets.dispatch import NamespaceEvents, decoded, later
from realtime.sockets.liveplaces import LivePlaces
from realtime.sockets.timings import SOCKET_TIMINGS, SocketTimings
from realtime.store.db.database import Database
from realtime.store.journeys import details, journeys, points
from realtime.store.people import tenants

NAMESPACE: Final = "/watch"
VENDORS_REMEMBERED: Final = 10_000
"""Vendors that are known to be in the store; beyond it the store is asked again."""
_OVER: Final = (ENDED, EXPIRED)


class WatchEvents:
    """The handlers of ``/watch``.

    ``max_vendors_remembered``: vendors known to be in the store; beyond it all are forgotten and asked again.
    """

    def __init__(
        self,
        db: Database,
        hub: Hub,
        limiter: RedisLimiter,
        max_feeds: int,
        now_ms: Callable[[], int],
        alerts: AlertWatch,
        *,
        links: GuestLinks,
        timings: SocketTimings = SOCKET_TIMINGS,
        max_vendors_remembered: int = VENDORS_REMEMBERED,
    ) -> None:
        self._db = db
        self._hub = hub
        self._limiter = limiter
        self._max_feeds = max_feeds
        self._now_ms = now_ms
        self._made: set[tuple[str, str]] = set()  # vendors seen to exist: a fleet of viewers asks once
        self._max_vendors_remembered = max_vendors_remembered
        self._alerts = alerts
        self._links = links
        self._area = AreaWatch(db, hub, limiter, NAMESPACE, alerts, timings.vendors_check_s)
        self._places = LivePlaces(db, hub, alerts.news, now_ms, timings.live_places_check_s)
        self.events = NamespaceEvents(
            {
                "watch": self._on_watch,
                "unwatch": self._on_unwatch,
                "whoami": self._on_whoami,
                **alerts.table(),
            }
        )

    def start(self) -> None:
        """Begin what goes on beside the requests."""
        self._area.start()
        self._places.start()

    async def stop(self) -> None:
        """End that."""
        await self._area.stop()
        await self._places.stop()

    async def admit(self, principal: Principal, address: str, user_agent: str) -> None:
        """Make what a valid token names, log who opened a share. Raises Refused(unavailable)."""
        if principal.share is not None:
            if principal.share.share_id:  # an answer link is no row, and needs no database
                await self._links.viewed(principal.share.share_id, address, user_agent)
        elif principal.vendors:
            wanted = {(principal.tenant, vendor) for vendor in principal.vendors} - self._made
            if wanted:
                await tenants.ensure_vendors(self._db, principal.tenant, principal.vendors)
                if len(self._made) + len(wanted) > self._max_vendors_remembered:
                    self._made.clear()
                self._made |= wanted

    def left(self, connection: Connection) -> None:
        """The viewer has gone."""
        self._hub.drop(connection.socket)
        self._area.left(connection)
        self._places.left(connection)
        self._alerts.left(connection)

    # --- events

    def _on_whoami(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        principal = connection.principal
        who: dict[str, Any] = {
            "ok": True,
            "role": principal.role,
            "tenant": principal.tenant,
            "vendors": "*" if principal.vendors is None else sorted(principal.vendors),
            "expires_at": principal.expires_ms,
            "now_ms": self._now_ms(),
        }
        if principal.share is not None:
            who["journey_id"] = self._alerts.journey_of_link(principal)
            who["scope"] = principal.share.scope
            who["may_answer"] = authorize.may_answer(principal)
            who["name"] = principal.share.name
            if principal.share.alert_id is not None:
                who["alert_id"] = principal.share.alert_id
            if principal.share.vendor is not None:
                who["follows"] = principal.share.driver
                who["alerts"] = self._alerts.follow_person(connection)
        answer(who)

    def _on_unwatch(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        label = decoded(payload, Unwatch).feed
        if self._alerts.unwatch(connection, label):
            answer({"ok": True})
            return
        was_hidden = self._places.remove(connection, label)
        if not self._hub.leave(label, connection.socket) and not was_hidden:
            raise Refused(Code.NOT_FOUND, f"feed is not watched: {shown(label)}")
        if label == AREA:
            self._area.unwatched(connection)
        answer({"ok": True})

    def _on_watch(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        request = decoded(payload, Watch).feed
        label = _label_of(request)
        watched = [*self._hub.labels(connection.socket), *self._alerts.labels(connection)]
        if label not in watched and len(watched) + connection.pending >= self._max_feeds:
            raise Refused(Code.TOO_MANY_FEEDS, f"{self._max_feeds} feeds at most")
        if request.area is not None:
            self._area.check(connection, request.area)
        later(connection, answer, self._watch(connection, request))

    async def _watch(self, connection: Connection, request: FeedRequest) -> bytes:
        if request.area is not None:
            return await self._area.watch(connection, request.area)
        await self._limiter.check(connection.principal, "watch")
        if request.vendor is not None:
            return await self._watch_vendor(connection, identifier(request.vendor, "vendor"))
        if request.driver is not None:
            return await self._watch_driver(connection, identifier(request.driver, "driver"))
        if request.alert is not None:
            return await self._alerts.watch(connection, alert_uuid(request.alert))
        assert request.journey is not None
        return await self._watch_journey(connection, journey_uuid(request.journey), request.since_seq or 0)

    async def _watch_vendor(self, connection: Connection, vendor: str) -> bytes:
        principal = connection.principal
        if not authorize.may_watch_vendor(principal, vendor):
            raise Refused(Code.NOT_FOUND, "vendor is not known")
        label = f"vendor:{vendor}"
        channel = vendor_channel(principal.tenant, vendor)
        snapshot = await self._hub.join.board(channel, label, None, connection.socket)
        self._stay_out_if_left(connection, label)
        return responses.board_answer(label, snapshot, self._alerts.of_vendors(principal, [vendor]))

    async def _watch_driver(self, connection: Connection, driver: str) -> bytes:
        principal = connection.principal
        vendor = await tenants.vendor_of(self._db, principal.tenant, driver)
        if vendor is None or not authorize.may_watch_driver(principal, vendor, driver):
            raise Refused(Code.NOT_FOUND, "driver is not known")
        label = f"driver:{driver}"
        channel = vendor_channel(principal.tenant, vendor)
        snapshot = await self._hub.join.board(channel, label, driver, connection.socket)
        self._stay_out_if_left(connection, label)
        return responses.board_answer(label, snapshot, self._alerts.of_driver(principal, driver))

    async def _watch_journey(self, connection: Connection, journey_id: UUID, since_seq: int) -> bytes:
        principal = connection.principal
        if since_seq < 0:
            raise Refused(Code.INVALID, "since_seq is negative")
        head = await journeys.head(self._db, principal.tenant, journey_id)
        if head is None:
            raise _no_journey()
        alert = await self._let_see(principal, head)
        label = f"journey:{journey_id}"
        since = await self._since(principal, journey_id, since_seq, alert)
        about = await details.get(self._db, principal.tenant, journey_id)
        is_hidden = self._places.is_hidden(principal, head.driver, head.ended_ms)
        self._places.add(connection, label, head, is_hidden=is_hidden)
        if is_hidden:
            self._hub.leave(label, connection.socket)
            alerts = self._alerts.of_journey(principal, journey_id)
            return responses.hidden_answer(label, head, about, authorize.may_answer(principal), alerts)
        # Nothing is awaited from here on: events follow, and the answer has to come before them.
        log = journey_channel(principal.tenant, journey_id)
        try:
            joined = await self._hub.join.log(log, label, connection.socket, since, _presence_of(head))
        except ValueError as error:
            raise Refused(Code.INVALID, str(error)) from error
        self._stay_out_if_left(connection, label)
        for_a_while = alert if authorize.leaves_at_the_end(principal) else None
        if for_a_while is not None and not self._alerts.follow(connection, for_a_while, label):
            self._hub.leave(label, connection.socket)  # the alert was closed while the feed was joined
            raise _no_journey()
        journey = responses.journey_of(joined, head, about, authorize.may_answer(principal))
        return responses.log_answer(label, joined, journey, self._alerts.of_journey(principal, journey_id))

    async def _let_see(self, principal: Principal, head: journeys.JourneyHead) -> Alert | None:
        """Refuse who may not see the journey. The alert, where that is what the viewer's link is to."""
        if principal.share is None or principal.share.alert_id is None:
            seen = authorize.may_see_journey(
                principal, head.tenant, head.vendor, head.driver, head.journey_id
            )
            alert = None
        else:
            alert = await self._alerts.of_link(principal)
            # The phone names the journey, so it is compared whose that is.
            own = alert.journey_id == head.journey_id and alert.driver == head.driver
            seen = own and authorize.may_see_journey_of_alert(
                principal, head.tenant, alert.alert_id, is_open(alert)
            )
        if not seen:
            raise _no_journey()
        return alert

    async def _since(
        self, principal: Principal, journey_id: UUID, asked: int, alert: Alert | None
    ) -> int | None:
        """After which entry a viewer may see a journey; None: from the last one on."""
        if authorize.may_see_past(principal):
            return asked
        grant = principal.share
        if grant is None or alert is None or grant.scope != "journey":
            return None
        return max(asked, await points.last_before(self._db, principal.tenant, journey_id, alert.pressed_ms))

    def _stay_out_if_left(self, connection: Connection, label: str) -> None:
        """A client may leave the namespace, its transport staying, while it is being let into a feed."""
        if connection.left:
            self._hub.leave(label, connection.socket)


def _presence_of(head: journeys.JourneyHead) -> Beside | None:
    """Whether the driver is there, told in the journey's feed until the journey is over."""
    if head.ended_ms is not None:
        return None
    return Beside(vendor_channel(head.tenant, head.vendor), head.driver, PRESENCE, _OVER)


def _no_journey() -> Refused:
    return Refused(Code.NOT_FOUND, "journey is not known")


def _label_of(request: FeedRequest) -> str:
    """The name of the feed that is asked for. Raises Refused(invalid) for anything but one."""
    named = [
        (kind, value)
        for kind, value in (
            ("vendor", request.vendor),
            ("driver", request.driver),
            ("journey", request.journey),
            (AREA, request.area),
            ("alert", request.alert),
        )
        if value is not None
    ]
    if len(named) != 1:
        raise Refused(Code.INVALID, "feed names not exactly one of vendor, driver, journey, area and alert")
    kind, value = named[0]
    return f"{kind}:{value}" if isinstance(value, str) else kind
