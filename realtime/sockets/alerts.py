"""Alerts on ``/watch``: the open ones in every snapshot, each change at once, what viewers do about them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from uuid import UUID

from msgspec import Raw, Struct

from alerts.alert import Alert
from realtime.alerting.actions import AlertActions, How
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.receipts import DeliveryReceipts, persons
from realtime.alerting.views import RenderedAlert, is_open, is_open_on_phone
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.hub.hub import Hub
from realtime.live.topics import journey_channel, vendor_channel
from realtime.protocol import Answer, Refused, alert_uuid
from realtime.sockets.connection import Connection
from realtime.sockets.dispatch import decoded, later

EVENT: Final = "alert"


class AlertAsked(Struct):
    """``alert:ack`` and ``alert:told``."""

    alert_id: str


class AlertClosed(Struct):
    """``alert:resolve`` and ``alert:false_alarm``."""

    alert_id: str
    note: str = ""


class AlertNote(Struct):
    """``alert:note``."""

    alert_id: str
    text: str


class AlertRespond(Struct):
    """``alert:respond``: the viewer is coming, or somebody it names."""

    alert_id: str
    name: str | None = None
    eta_s: int | None = None


class AlertWatch:
    """What ``/watch`` knows of alerts. ``principal_of`` tells whose a member's socket is."""

    def __init__(
        self,
        hub: Hub,
        news: OpenAlerts,
        answering: AlertActions,
        principal_of: Callable[[EngineSocket], Principal | None],
        told: DeliveryReceipts,
    ) -> None:
        self._hub = hub
        self.news = self._news = news
        self._answering = answering
        self._principal_of = principal_of
        self._told = told
        self._watching: dict[UUID, set[Connection]] = {}
        self._persons: dict[tuple[str, str], set[Connection]] = {}
        """Who holds a link to a driver, by tenant and driver: an alert need not name the journey."""
        self._following: dict[UUID, dict[Connection, str]] = {}
        news.listen(self._on_change)

    def table(self) -> dict[str, Any]:
        """The handlers by event."""
        return {
            "alert:ack": self._on_ack,
            "alert:resolve": self._on_resolve,
            "alert:note": self._on_note,
            "alert:respond": self._on_respond,
            "alert:false_alarm": self._on_false_alarm,
            "alert:told": self._on_told,
        }

    # --- changes

    def _on_change(self, alert: Alert, before: Alert | None) -> None:
        rendered = RenderedAlert(alert, before)

        def choose(member: EngineSocket) -> bytes | None:
            principal = self._principal_of(member)
            return None if principal is None else rendered.event_for(principal)

        channels = [vendor_channel(alert.tenant, alert.vendor)]
        if alert.journey_id is not None:
            channels.append(journey_channel(alert.tenant, alert.journey_id))
        self._hub.announce(channels, EVENT, alert.driver, choose)
        for connection in list(self._watching.get(alert.alert_id, ())):
            argument = rendered.event_for(connection.principal)
            if argument is not None:
                label = frames.json_bytes(label_of(alert.alert_id))
                connection.socket.write(frames.event(connection.namespace, EVENT, label, argument))
        for connection in list(self._persons.get((alert.tenant, alert.driver), ())):
            argument = rendered.event_for(connection.principal)
            if argument is not None and not connection.left:
                label = frames.json_bytes(f"driver:{alert.driver}")
                connection.socket.write(frames.event(connection.namespace, EVENT, label, argument))
        if not is_open(alert):
            self._part(alert.alert_id)

    def _part(self, alert_id: UUID) -> None:
        """The alert is over: who followed its journey by a link to it sees no more of that."""
        for connection, label in self._following.pop(alert_id, {}).items():
            if self._hub.leave(label, connection.socket):
                connection.emit("reset", {"feed": label})

    # --- snapshots

    def of_vendors(self, principal: Principal, vendors: Iterable[str]) -> bytes:
        """The open alerts of ``vendors``, as ready JSON."""
        return _listed(
            principal, (a for vendor in vendors for a in self._news.open_of_vendor(principal.tenant, vendor))
        )

    def of_driver(self, principal: Principal, driver: str) -> bytes:
        """The open alerts of a driver."""
        return _listed(principal, self._news.open_of_driver(principal.tenant, driver))

    def of_journey(self, principal: Principal, journey_id: UUID) -> bytes:
        """The open alerts of a journey."""
        return _listed(principal, self._news.open_of_journey(principal.tenant, journey_id))

    # --- one alert

    async def watch(self, connection: Connection, alert_id: UUID) -> bytes:
        """Tell ``connection`` of every change of one alert. Raises Refused."""
        alert = await self._answering.visible(connection.principal, alert_id)
        if not connection.left:
            self._watching.setdefault(alert.alert_id, set()).add(connection)
        newest = self._news.get(alert.tenant, alert.alert_id)
        if newest is not None and newest.version > alert.version:
            alert = newest
        return b'{"ok":true,"feed":%b,"snapshot":{"positions":[],"presence":{},"alerts":[%b]}}' % (
            frames.json_bytes(label_of(alert.alert_id)),
            RenderedAlert(alert).bytes_for(connection.principal),
        )

    async def of_link(self, principal: Principal) -> Alert:
        """The alert that a link is to. Raises Refused."""
        assert principal.share is not None
        return await self._answering.visible(principal, alert_uuid(principal.share.alert_id or ""))

    def follow(self, connection: Connection, alert: Alert, label: str) -> bool:
        """``connection`` watches the journey of ``alert`` as ``label`` until that is over; False if it is."""
        newest = self._news.get(alert.tenant, alert.alert_id)
        if newest is not None and not is_open(newest):
            return False
        if not connection.left:
            self._following.setdefault(alert.alert_id, {})[connection] = label
        return True

    def journey_of_link(self, principal: Principal) -> str | None:
        """The journey that the holder of a link may watch, as far as is known here."""
        grant = principal.share
        if grant is None or grant.alert_id is None:
            return None if grant is None else grant.journey_id
        alert = self._news.get(principal.tenant, alert_uuid(grant.alert_id))
        if alert is None:
            return grant.journey_id
        shown = authorize.may_see_journey_of_alert(principal, alert.tenant, alert.alert_id, is_open(alert))
        return str(alert.journey_id) if shown and alert.journey_id is not None else None

    def follow_person(self, connection: Connection) -> list[str]:
        """Tell the holder of a link to a driver of every alert of theirs from now on; the ids of the open.

        Nothing for the holder of another link.
        """
        grant = connection.principal.share
        if grant is None or grant.vendor is None or grant.driver is None or connection.left:
            return []
        tenant = connection.principal.tenant
        self._persons.setdefault((tenant, grant.driver), set()).add(connection)
        rendered = (RenderedAlert(alert) for alert in self._news.open_of_driver(tenant, grant.driver))
        return [str(one.alert.alert_id) for one in rendered if one.event_for(connection.principal)]

    def labels(self, connection: Connection) -> list[str]:
        """The alerts that ``connection`` watches."""
        return [label_of(alert_id) for alert_id, there in self._watching.items() if connection in there]

    def unwatch(self, connection: Connection, label: str) -> bool:
        """Tell it no more; False when it was not told."""
        for alert_id, there in self._watching.items():
            if label == label_of(alert_id) and connection in there:
                there.discard(connection)
                if not there:
                    del self._watching[alert_id]
                return True
        return False

    def left(self, connection: Connection) -> None:
        """The viewer has gone."""
        for label in self.labels(connection):
            self.unwatch(connection, label)
        for key in [key for key, there in self._persons.items() if connection in there]:
            self._persons[key].discard(connection)
            if not self._persons[key]:
                del self._persons[key]
        for alert_id in [one for one, there in self._following.items() if connection in there]:
            del self._following[alert_id][connection]
            if not self._following[alert_id]:
                del self._following[alert_id]

    # --- events

    def _on_ack(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, AlertAsked)
        alert_id = alert_uuid(asked.alert_id)
        how: How = "link" if connection.principal.share is not None else "page"
        self._later(connection, answer, self._answering.acknowledge(connection.principal, alert_id, how))

    def _on_resolve(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, AlertClosed)
        alert_id = alert_uuid(asked.alert_id)
        self._later(connection, answer, self._answering.resolve(connection.principal, alert_id, asked.note))

    def _on_false_alarm(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, AlertClosed)
        alert_id = alert_uuid(asked.alert_id)
        work = self._answering.false_alarm(connection.principal, alert_id, asked.note)
        self._later(connection, answer, work)

    def _on_note(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, AlertNote)
        alert_id = alert_uuid(asked.alert_id)
        self._later(connection, answer, self._answering.note(connection.principal, alert_id, asked.text))

    def _on_respond(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, AlertRespond)
        alert_id = alert_uuid(asked.alert_id)
        work = self._answering.respond(connection.principal, alert_id, asked.name, asked.eta_s)
        self._later(connection, answer, work)

    def _on_told(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        alert_id = alert_uuid(decoded(payload, AlertAsked).alert_id)
        later(connection, answer, self._who_was_told(connection.principal, alert_id))

    async def _who_was_told(self, principal: Principal, alert_id: UUID) -> bytes:
        alert = await self._answering.answerable(principal, alert_id)
        # As on the phone: of an alert that is over there, nothing more is shown.
        is_over = authorize.sees_as_phone(principal) and not is_open_on_phone(alert)
        told = () if is_over else await self._told.of(alert)
        driver = await self._told.driver(alert)
        answer: dict[str, Any] = {
            "ok": True,
            "told": told if principal.share is None else persons(told),
            "name": driver.name,
            "phone": driver.phone,
        }
        return frames.json_bytes(answer)

    def _later(self, connection: Connection, answer: Answer, work: Awaitable[Alert]) -> None:
        async def done() -> bytes:
            rendered = RenderedAlert(await work)
            return b'{"ok":true,"alert":%b}' % rendered.bytes_for(connection.principal)

        try:
            later(connection, answer, done())
        except Refused:
            work.close()  # type: ignore[attr-defined]  # a coroutine, which nobody awaits now
            raise


def label_of(alert_id: UUID) -> str:
    """The name of the feed of one alert."""
    return f"alert:{alert_id}"


def _listed(principal: Principal, alerts: Iterable[Alert]) -> bytes:
    is_phone = authorize.sees_as_phone(principal)
    rendered = (RenderedAlert(alert) for alert in alerts if not is_phone or is_open_on_phone(alert))
    return frames.listed([one.bytes_for(principal) for one in rendered if one.event_for(principal)])
