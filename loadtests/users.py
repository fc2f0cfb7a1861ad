"""Who uses the system under load: drivers, dispatchers, contacts. Locust starts and paces them.

Their connections live in greenlets of their own, so that at the end of the run what was sent can still be
acknowledged and seen before it is judged.
"""

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any
from uuid import UUID

import gevent

from geo.fleet import Vehicle, advance
from loadtests import history
from loadtests.ledger import Ledger
from loadtests.line import Line, Record
from realtime.auth.tokens import mint
from realtime.client.outbox import AckOutcome, Outbox
from realtime.client.views import JourneyView, LatestView
from realtime.settings import Settings

TOKEN_S = 6 * 3_600.0


class World:
    """What all users share."""

    def __init__(
        self, settings: Settings, url: str, tenant: str, vendor: str, rng: Random, record: Record
    ) -> None:
        self.settings, self.url, self.tenant, self.vendor = settings, url, tenant, vendor
        self.rng, self.record = rng, record
        self.ledger = Ledger()
        self.drivers: list[Driver] = []
        self.viewers: list[Viewer] = []

    def token(self, role: Any, driver: str | None = None) -> str:
        """A token for this tenant and vendor."""
        return mint(
            self.settings,
            role=role,
            tenant=self.tenant,
            vendors=[self.vendor],
            driver=driver,
            ttl_s=TOKEN_S,
        )

    @property
    def lines(self) -> list[Line]:
        """Every connection."""
        return [*(driver.line for driver in self.drivers), *(viewer.line for viewer in self.viewers)]

    def is_whole(self) -> bool:
        """Whether everybody is connected, and every viewer watches."""
        return all(line.is_up for line in self.lines) and all(viewer.watching for viewer in self.viewers)


class Driver:
    """A phone: an outbox on a line. ``fix`` is what its receiver does, at its own pace."""

    def __init__(self, world: World, name: str, vehicle: Vehicle, gather: int) -> None:
        self.world, self.name, self.vehicle = world, name, vehicle
        self.token = world.token("driver", name)
        self.outbox = Outbox(world.rng, gather=gather)
        self.outbox.start(str(UUID(int=world.rng.getrandbits(128), version=4)), _now_ms(), vehicle=name)
        self.line = Line(
            world.url,
            "/driver",
            lambda: {"token": self.token},
            session=self._session,
            on_event=_ignored,
            rng=world.rng,
            record=world.record,
        )
        world.drivers.append(self)

    @property
    def journey_id(self) -> str | None:
        """The server's id of the journey under way."""
        return self.outbox.journeys[0].journey_id if self.outbox.journeys else None

    def fix(self, dt_s: float) -> None:
        """Drive for ``dt_s`` and keep the position."""
        self.vehicle, fix = advance(self.vehicle, dt_s, self.world.rng)
        self.outbox.add(_now_ms(), *fix)
        self.line.wake()

    def end(self) -> None:
        """End the journey; what is kept is still sent."""
        if self.outbox.is_under_way:
            self.outbox.end(_now_ms())
        self.line.wake()

    def _session(self) -> None:
        self.outbox.connected()
        while self.line.is_up:
            now_s = time.monotonic()
            request = self.outbox.next(now_s)
            if request is None:
                not_before_s = self.outbox.not_before_s
                self.line.wait(not_before_s if now_s < not_before_s else None)
                continue
            points, journey_id = request.payload.get("points", ()), request.payload.get("journey_id")
            if points:
                self.world.ledger.sent(str(journey_id), self.name, points)
            answer = self.line.ask(request.event, request.payload)
            self._note(journey_id, answer)
            if self.outbox.answered(request, answer, time.monotonic()) is AckOutcome.RECONNECT:
                self.line.drop()

    def _note(self, journey_id: str | None, answer: Any) -> None:
        """What an answer promises, independent of what the outbox makes of it."""
        if not isinstance(answer, Mapping) or answer.get("ok") is not True:
            return
        if isinstance(through := answer.get("through"), int):
            self.world.ledger.acknowledged(str(journey_id), through, answer.get("voided") or ())
        elif isinstance(next_seq := answer.get("next_seq"), int):
            self.world.ledger.acknowledged(str(answer.get("journey_id")), next_seq - 1)


class Viewer:
    """Somebody who watches one feed, through every reconnect and reset."""

    def __init__(
        self, world: World, view: JourneyView | LatestView, auth: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.world, self.view = world, view
        self.watching = False
        self._resetting = False
        self.line = Line(
            world.url,
            "/watch",
            auth,
            session=self._session,
            on_event=self._event,
            rng=world.rng,
            record=world.record,
        )
        world.viewers.append(self)

    def faults(self) -> list[str]:
        """What it saw that it should not have."""
        if isinstance(self.view, JourneyView):
            return self.world.ledger.judge_journey_view(self.view.request["journey"], self.view)
        return self.world.ledger.judge_latest_view(self.world.vendor, self.view)

    def _session(self) -> None:
        self.watching = self._resetting = False
        while self.line.is_up:
            if self.watching:
                self.line.wait()
                continue
            answer = self.line.ask("watch", {"feed": self.view.watch_request()}, self._watched)
            if not self.watching:
                error = answer.get("error") if isinstance(answer, Mapping) else None
                wait_s = error.get("retry_after_s") if isinstance(error, Mapping) else None
                self.line.wait(time.monotonic() + (wait_s or 1.0) + self.world.rng.random())
        self.watching = False

    def _watched(self, answer: Any) -> None:
        if isinstance(answer, Mapping) and answer.get("ok") is True:
            self.watching, self._resetting = True, False
            self.view.take_snapshot(answer)

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "reset":
            self.view.resets += 1
            self.watching, self._resetting = False, True
            self.line.wake()
        elif not self.watching:
            # After a reset the next snapshot brings it again; before the first answer nothing may come.
            self.view.early += not self._resetting
        elif event == "positions":
            self.view.take_positions(args[1])
        elif event == "journey":
            self.view.take_journey(args[1])
        elif event == "presence":
            self.view.presence[str(args[1]["driver"])] = args[1]


def dispatcher(world: World) -> Viewer:
    """Watches the vendor."""
    token = world.token("dispatcher")
    return Viewer(world, LatestView({"vendor": world.vendor}), lambda: {"token": token})


def contact(world: World, driver: Driver) -> Viewer:
    """Opens a link to the journey that ``driver`` is on, and watches all of it. Raises ApiError."""
    assert driver.journey_id is not None
    share = history.share(world.url, driver.token, driver.journey_id)
    view = JourneyView({"journey": driver.journey_id}, keeps=False)
    return Viewer(world, view, lambda: {"share": share})


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether ``condition`` came to hold in time."""
    ends_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends_s:
            return False
        gevent.sleep(0.05)
    return True


def _ignored(event: str, args: tuple[Any, ...]) -> None:
    """Commands that a driver under load does not carry out."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
