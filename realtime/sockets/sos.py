"""``sos``, ``sos:cancel`` and ``sos:state`` on ``/driver``, and ``sos:update`` back: never behind positions,
never limited in rate.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

from msgspec import Raw, Struct

from alerts.alert import MAX_WRONG_PINS, Actor, ActorKind, Alert, CancelAsked, PinResult, Refusal
from alerts.pin import checked
from alerts.ports import Applied, Taken
from alerts.press import parse_press
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import Intake
from realtime.alerting.receipts import DeliveryReceipts
from realtime.alerting.views import has_only_moved, is_open_on_phone, is_shown_on_phone, phone_view
from realtime.fanout.engineio import frames
from realtime.metrics import instruments
from realtime.protocol import Answer, Code, Refused, uuid_text
from realtime.sockets.connection import Connection
from realtime.sockets.dispatch import decoded, internal

log = logging.getLogger(__name__)

SOCKET: Final = "socket"
MAX_AT_ONCE: Final = 256
"""Different presses of one phone that are being stored; the same press again waits with the first."""
MAX_PIN_CHARS: Final = 16
MAX_ASKED: Final = 16
"""What one phone may ask for at once, beside presses, one by one: a PIN takes a core for a while."""


class SosCancel(Struct):
    """``sos:cancel``."""

    sos_id: str
    pin: str


class SosAsked(Struct):
    """``sos:state``."""

    sos_id: str


class SosEvents:
    """The events, and which sockets are a driver's."""

    def __init__(
        self, intake: Intake, news: OpenAlerts, told: DeliveryReceipts, now_ms: Callable[[], int]
    ) -> None:
        self._intake = intake
        self._news = news
        self._told = told
        self._now_ms = now_ms
        self._drivers: dict[tuple[str, str], set[Connection]] = {}
        self._pressing: dict[tuple[str, str, UUID], list[Answer]] = {}
        self._storing: dict[tuple[str, str], int] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        news.listen(self._on_change)

    def table(self) -> dict[str, Any]:
        """The handlers by event."""
        return {"sos": self.on_sos, "sos:cancel": self._on_cancel, "sos:state": self._on_state}

    # --- coming and going

    def joined(self, connection: Connection) -> None:
        """A driver is connected: it is told of what is open."""
        self._drivers.setdefault(_driver(connection), set()).add(connection)
        tenant, driver = _driver(connection)
        for alert in self._news.open_of_driver(tenant, driver):
            if is_open_on_phone(alert) and is_shown_on_phone(alert, None):
                self._later(self._update(alert, [connection]))

    def left(self, connection: Connection) -> None:
        """It has gone."""
        there = self._drivers.get(_driver(connection), set())
        there.discard(connection)
        if not there:
            self._drivers.pop(_driver(connection), None)

    # --- events

    def on_sos(self, connection: Connection, payload: Raw | bytes, answer: Answer) -> None:
        """A press. All of the same press are answered together, each."""
        principal = connection.principal
        assert principal.driver is not None
        assert principal.home_vendor is not None
        now_ms = self._now_ms()
        try:
            press = parse_press(
                bytes(payload),
                tenant=principal.tenant,
                vendor=principal.home_vendor,
                driver=principal.driver,
                received_ms=now_ms,
                source=SOCKET,
                token_expired=principal.expires_ms < now_ms,
            )
        except ValueError as error:
            raise Refused(Code.INVALID, str(error)) from error
        key = (press.tenant, press.driver, press.sos_id)
        if (waiting := self._pressing.get(key)) is not None:
            waiting.append(answer)
            return
        who = _driver(connection)
        if self._storing.get(who, 0) >= MAX_AT_ONCE:
            raise Refused(Code.OVERLOADED, f"more than {MAX_AT_ONCE} presses at once", retry_after_s=1)
        self._storing[who] = self._storing.get(who, 0) + 1
        self._pressing[key] = [answer]
        self._later(self._press(key, press))

    async def _press(self, key: tuple[str, str, UUID], press: Any) -> None:
        ack: dict[str, Any]
        try:
            taken = await self._intake.press(press)
            instruments.SOS_TAKEN.labels(SOCKET, taken.durability).inc()
            ack = pressed(taken)
        except Refused as refusal:
            ack = refusal.as_answer()
        except Exception:
            log.exception("a press could not be taken")
            ack = internal().as_answer()
        finally:
            answers = self._pressing.pop(key)
            self._storing[key[:2]] -= 1
            if not self._storing[key[:2]]:
                del self._storing[key[:2]]
        for answer in answers:
            answer(ack)

    def _on_cancel(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        asked = decoded(payload, SosCancel)
        sos_id = UUID(uuid_text(asked.sos_id, "sos_id"))
        if len(asked.pin) > MAX_PIN_CHARS:
            raise Refused(Code.INVALID, f"pin is longer than {MAX_PIN_CHARS} characters")
        self._answer_in_turn(connection, answer, lambda: self._cancel(connection, sos_id, asked.pin))

    async def _cancel(self, connection: Connection, sos_id: UUID, pin: str) -> dict[str, Any]:
        principal = connection.principal
        assert principal.driver is not None
        assert principal.home_vendor is not None
        alert = await self._intake.find(principal.tenant, principal.driver, sos_id)
        if alert is None:
            raise Refused(Code.NOT_FOUND, "no such sos")
        if not is_open_on_phone(alert):
            return {"ok": True, "state": phone_view(alert).state}
        known = await self._intake.circumstances(principal.tenant, principal.home_vendor, principal.driver)
        result = PinResult.WRONG  # where none counts any more none is looked at
        if alert.wrong_pins < MAX_WRONG_PINS:
            result = await asyncio.to_thread(checked, pin, known.pins)
        actor = Actor(ActorKind.DRIVER, principal.driver, known.driver_name)
        applied = await self._intake.apply(principal.tenant, alert.alert_id, CancelAsked(actor, result))
        if applied is None:
            raise Refused(Code.NOT_FOUND, "no such sos")
        return _cancel_answer(applied, result)

    def _on_state(self, connection: Connection, payload: Raw, answer: Answer) -> None:
        sos_id = UUID(uuid_text(decoded(payload, SosAsked).sos_id, "sos_id"))
        self._answer_in_turn(connection, answer, lambda: self._state(connection, sos_id))

    async def _state(self, connection: Connection, sos_id: UUID) -> bytes:
        tenant, driver = _driver(connection)
        alert = await self._intake.find(tenant, driver, sos_id)
        if alert is None:
            raise Refused(Code.NOT_FOUND, "no such sos")
        view = phone_view(alert, await self._told.of(alert))
        return b'{"ok":true,"sos":%b}' % frames.json_bytes(view)

    def _answer_in_turn(
        self,
        connection: Connection,
        answer: Answer,
        work: Callable[[], Coroutine[Any, Any, dict[str, Any] | bytes]],
    ) -> None:
        """Do ``work`` once all is done that this phone asked for before. Raises Refused(overloaded)."""
        who = _driver(connection)
        if self._asked.get(who, 0) >= MAX_ASKED:
            raise Refused(Code.OVERLOADED, f"more than {MAX_ASKED} asked at once", retry_after_s=1)
        self._asked[who] = self._asked.get(who, 0) + 1
        lock = self._asking.setdefault(who, asyncio.Lock())

        async def in_turn() -> dict[str, Any] | bytes:
            try:
                async with lock:
                    return await work()
            finally:
                self._asked[who] -= 1
                if not self._asked[who]:
                    del self._asked[who]

        self._answer_later(answer, in_turn())

    def _answer_later(self, answer: Answer, work: Coroutine[Any, Any, dict[str, Any] | bytes]) -> None:
        async def run() -> None:
            try:
                answer(await work)
            except Refused as refusal:
                answer(refusal.as_answer())
            except Exception:
                log.exception("a request about an sos failed")
                answer(internal().as_answer())

        self._later(run())

    # --- updates

    def _on_change(self, alert: Alert, before: Alert | None) -> None:
        there = self._drivers.get((alert.tenant, alert.driver))
        if there and is_shown_on_phone(alert, before) and not has_only_moved(alert, before):
            self._later(self._update(alert, list(there)))

    async def _update(self, alert: Alert, connections: list[Connection]) -> None:
        view = phone_view(alert, await self._told.of(alert))
        for connection in connections:
            if not connection.closing and not connection.left:
                connection.emit("sos:update", view)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def pressed(taken: Taken) -> dict[str, Any]:
    """The ack of a press."""
    view = phone_view(taken.alert)
    return {
        "ok": True,
        "alert_id": str(view.alert_id),
        "state": view.state,
        "durability": taken.durability,
    }


def _cancel_answer(applied: Applied, pin: PinResult) -> dict[str, Any]:
    """The same for every PIN once none counts any more: whoever tries them must not learn which is right."""
    state = phone_view(applied.alert).state
    if is_open_on_phone(applied.alert):
        if applied.refused == Refusal.TOO_MANY_PINS:
            raise Refused(Code.FORBIDDEN, "too many wrong pins", state=state)
        if pin is PinResult.WRONG:
            raise Refused(Code.FORBIDDEN, "pin is wrong", state=state)
    return {"ok": True, "state": state}


def _driver(connection: Connection) -> tuple[str, str]:
    principal = connection.principal
    assert principal.driver is not None
    return principal.tenant, principal.driver
