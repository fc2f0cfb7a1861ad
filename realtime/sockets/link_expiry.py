"""Who came in by a share link, and until when they may stay: an open SOS keeps a link good.

Postgres says until when, every 3 s; what is heard of alerts says it too, for an SOS that Postgres does not
have.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID

from alerts.alert import Alert
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.views import is_open, is_open_on_phone
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused
from realtime.sockets.connection import Connection
from realtime.sockets.timings import LINK_LATE_MS
from realtime.store.db.database import Database
from realtime.store.journeys import shares


class LinkExpiry:
    """``look`` asks Postgres; ``is_over`` judges one connection, ``late_ms`` after the link's end at the
    earliest. ``news`` is set by the wiring.
    """

    def __init__(self, db: Database, now_ms: Callable[[], int], late_ms: int = LINK_LATE_MS) -> None:
        self._db = db
        self._now_ms = now_ms
        self._late_ms = late_ms
        self.news: OpenAlerts | None = None

    def is_over(self, connection: Connection) -> bool:
        """Whether the link that ``connection`` came in by, or the token, has expired."""
        now_ms = self._now_ms()
        if now_ms <= connection.principal.expires_ms:
            return False
        if not _share_of(connection):
            return True
        if self.news is not None and is_kept_good(self.news, connection.principal):
            _extend(connection, now_ms + shares.GRACE_MS)
            return False
        return now_ms > connection.principal.expires_ms + self._late_ms

    async def look(self, connections: Iterable[Connection]) -> None:
        """End who came in by a link that was revoked; let the others stay for as long as theirs is good."""
        holders: dict[str, list[Connection]] = {}
        for connection in connections:
            if share_id := _share_of(connection):
                holders.setdefault(share_id, []).append(connection)
        try:
            lasting = await shares.lasting(self._db, list(holders))
            following = [share_id for share_id, there in holders.items() if _follows(there[0])]
            shown = await shares.shown_journeys(self._db, following)
        except Refused:
            return  # open ones stay while the store cannot be asked
        for share_id, there in holders.items():
            for connection in there:
                if share_id in lasting:
                    _extend(connection, lasting[share_id])
                    _go_on(connection, shown.get(share_id))
                else:
                    connection.end(Refused(Code.REVOKED, "link is not valid any more"))


def _follows(connection: Connection) -> bool:
    """Whether it came in by a link to a driver, which goes on with the next journey."""
    grant = connection.principal.share
    return grant is not None and grant.vendor is not None


def _go_on(connection: Connection, journey_id: UUID | None) -> None:
    """Tell who holds a link to a driver of the journey that it shows from now on."""
    grant = connection.principal.share
    if grant is None or journey_id is None or grant.journey_id == str(journey_id):
        return
    grant = replace(grant, journey_id=str(journey_id))
    connection.principal = replace(connection.principal, share=grant)
    connection.emit("share", {"journey_id": grant.journey_id})


def is_kept_good(news: OpenAlerts, principal: Principal) -> bool:
    """Whether an alert is open that was raised while the link was good; drills apart."""
    grant = principal.share
    if grant is None:
        return False
    if grant.alert_id is not None:
        alert = news.get(principal.tenant, UUID(grant.alert_id))
        alerts = [] if alert is None else [alert]
    elif grant.vendor is not None:
        of_driver = news.open_of_driver(principal.tenant, grant.driver or "")
        alerts = [alert for alert in of_driver if alert.vendor == grant.vendor]
    else:
        # The phone names the journey of an alert: that of another driver, which names this one, counts not.
        named = news.open_of_journey(principal.tenant, UUID(grant.journey_id))
        alerts = [alert for alert in named if grant.driver in (None, alert.driver)]
    return any(
        _is_open(principal, alert) and not alert.drill and alert.raised_ms <= principal.expires_ms
        for alert in alerts
    )


def _is_open(principal: Principal, alert: Alert) -> bool:
    """Whether the alert is open as the holder of the link is shown it."""
    return is_open_on_phone(alert) if authorize.sees_as_phone(principal) else is_open(alert)


def _share_of(connection: Connection) -> str:
    """The share it came in by; none for a token, and for an answer link, which is no row."""
    grant = connection.principal.share
    return "" if grant is None else grant.share_id


def _extend(connection: Connection, until_ms: int) -> None:
    if until_ms > connection.principal.expires_ms:
        connection.principal = replace(connection.principal, expires_ms=until_ms)
