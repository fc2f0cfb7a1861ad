"""A link that the driver's own app made shows of a duress PIN what it shows of the right one, and no more."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from realtime.store.journeys import shares
from tests.sockets.kit import Raw, Server, until
from tests.sockets.test_answering_links import ACTS, DRIVER, WATCH, Trip
from tests.sockets.test_duress import DURESS, RIGHT, http

QUIET_S = 0.4
"""How long nothing is waited for; the world tells a change in some milliseconds."""


class Car(Trip):
    """A driver with both PINs, on a journey."""

    async def begin(self, **more: Any) -> "Car":
        await super().begin(**more)
        self.token = self.server.token("driver", "t1", ["v1"], driver=self.name)
        path = f"/api/v1/drivers/{self.name}/pins"
        await http(self.server, self.token, "PUT", path, {"cancel": RIGHT, "duress": DURESS})
        return self

    async def link(self, name: str = "", scope: str = "journey", token: str = "") -> tuple[str, str]:
        """A link to the journey, by the API: by the driver's token unless another is given."""
        body: dict[str, Any] = {"scope": scope, "expires_in_s": 3_600}
        if name:
            body |= {"may_answer": True, "name": name}
        headers = {"Authorization": f"Bearer {token or self.token}"}
        where = f"{self.server.url}/api/v1/journeys/{self.journey}/shares"
        async with self.server.session.post(where, json=body, headers=headers) as response:
            made = await response.json()
            assert response.status == 201, made
        return made["id"], made["url"].partition("#")[2]

    async def opened(self, link: tuple[str, str]) -> Raw:
        viewer = await self.server.raw()
        assert await viewer.connect(WATCH, share=".".join(link)) == {}
        return viewer

    async def sos(self, **more: Any) -> tuple[str, str]:
        """Presses; the press and its alert."""
        sos_id = str(uuid4())
        alert_id = await self.press(sos_id=sos_id, **more)
        return sos_id, alert_id

    async def cancel(self, sos_id: str, pin: str) -> None:
        answer = await self.raw.ask(DRIVER, "sos:cancel", {"sos_id": sos_id, "pin": pin})
        assert answer == {"ok": True, "state": "cancelled"}


def bare(value: Any, *own: str) -> Any:
    """``value`` without ids and times, which differ from alert to alert."""
    if isinstance(value, dict):
        return {
            key: type(one).__name__
            if key.endswith(("_at", "_id")) or key in ("id", "t_ms")
            else bare(one, *own)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [bare(one, *own) for one in value]
    return "own" if isinstance(value, str) and any(one in value for one in own) else value


async def seen_by_a_link(server: Server, pin: str, name: str, **press: Any) -> dict[str, Any]:
    """All that a driver's link shows of an alert that ``pin`` ended, whatever is done about it."""
    car = await Car(server).begin()
    link = await car.link(name)
    early = await car.opened(link)
    await car.watch(early)
    sos_id, alert_id = await car.sos(**press)
    await until(lambda: early.events(WATCH, "alert"), "the alert at the link")
    dispatcher = await server.viewer()
    assert (await dispatcher.ask(WATCH, "alert:ack", {"alert_id": alert_id}))["ok"]
    await until(
        lambda: early.events(WATCH, "alert")[-1][-1]["state"] == "acknowledged", "the acknowledgement"
    )
    await car.cancel(sos_id, pin)
    await until(lambda: early.events(WATCH, "alert")[-1][-1]["state"] == "cancelled", "the end")
    after_cancel = early.events(WATCH, "alert")[-1][-1]
    told = len(early.events(WATCH, "alert"))
    for event, more in (("alert:note", {"text": "hm"}), ("alert:respond", {"eta_s": 60})):
        await dispatcher.ask(WATCH, event, {"alert_id": alert_id, **more})
    late = await car.opened(link)
    snapshot = (await car.watch(late))["snapshot"]
    asked = await late.ask(WATCH, "watch", {"feed": {"alert": alert_id}})
    acts = [await late.ask(WATCH, event, {"alert_id": alert_id, **more}) for event, more in ACTS]
    await dispatcher.ask(WATCH, "alert:resolve", {"alert_id": alert_id})
    await asyncio.sleep(QUIET_S)
    listed = await http(server, car.token, "GET", f"/api/v1/journeys/{car.journey}/shares")
    seen = {
        "after_cancel": after_cancel,
        "more": early.events(WATCH, "alert")[told:],
        "late": late.events(WATCH, "alert"),
        "snapshot": snapshot["alerts"],
        "asked": asked,
        "acts": acts,
        "shares": [[one["lasts_until"] == one["expires_at"], one["revoked_at"]] for one in listed["shares"]],
        "list": (await http(server, car.token, "GET", "/api/v1/alerts"))["alerts"],
    }
    return bare(seen, car.name, car.journey, alert_id, link[0])  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["", "Mum"])
@pytest.mark.parametrize("press", [{}, {"silent": True}, {"point": [1, 1, 53.4, -2.9]}])
async def test_a_duress_pin_leaves_at_a_drivers_link_what_the_right_one_leaves(
    server: Server, name: str, press: dict[str, Any]
) -> None:
    by_duress, by_right = [await seen_by_a_link(server, pin, name, **press) for pin in (DURESS, RIGHT)]
    assert by_duress == by_right
    assert by_right["snapshot"] == []
    assert by_right["more"] == []


async def test_a_dispatchers_link_and_the_dispatcher_see_that_the_alert_is_open(server: Server) -> None:
    car = await Car(server).begin()
    link = await car.link("Mum", token=server.token("dispatcher", "t1", ["v1"]))
    holder = await car.opened(link)
    await car.watch(holder)
    sos_id, alert_id = await car.sos()
    await until(lambda: holder.events(WATCH, "alert"), "the alert")
    await car.cancel(sos_id, DURESS)
    late = await car.opened(link)
    snapshot = (await car.watch(late))["snapshot"]["alerts"]
    assert [one["state"] for one in snapshot] == ["active"]
    assert (await late.ask(WATCH, "alert:ack", {"alert_id": alert_id}))["ok"]


async def test_a_drivers_link_shows_an_alert_that_was_not_cancelled_as_ever(server: Server) -> None:
    car = await Car(server).begin()
    holder = await car.opened(await car.link("Mum"))
    await car.watch(holder)
    _, alert_id = await car.sos()
    await until(lambda: holder.events(WATCH, "alert"), "the alert")
    assert (await holder.ask(WATCH, "alert:ack", {"alert_id": alert_id}))["ok"]
    await until(
        lambda: holder.events(WATCH, "alert")[-1][-1]["state"] == "acknowledged", "the acknowledgement"
    )
    assert (await holder.ask(WATCH, "alert:resolve", {"alert_id": alert_id}))["ok"]


@pytest.mark.parametrize("name", ["", "Mum"])
async def test_a_drivers_link_lasts_as_long_by_the_duress_pin_as_by_the_right_one(
    server: Server, name: str
) -> None:
    lasts: dict[str, int] = {}
    for pin in (DURESS, RIGHT):
        car = await Car(server).begin()
        share_id, _ = await car.link(name)
        sos_id, _ = await car.sos()
        async with server.db.writer() as connection:
            await connection.execute(
                "UPDATE shares SET expires_ms = now_ms() - 500 WHERE tenant_id = 't1' AND share_id = $1",
                share_id,
            )
            await connection.execute(
                "UPDATE alerts SET raised_ms = raised_ms - 60000 WHERE tenant_id = 't1' AND journey_id = $1",
                UUID(car.journey),
            )
        await car.cancel(sos_id, pin)
        await asyncio.sleep(QUIET_S)
        async with server.db.writer() as connection:
            ended_ms, now_ms = await connection.fetchrow(
                "SELECT coalesce(closed_ms, (alert #>> '{veil,drawn_ms}')::bigint), now_ms() FROM alerts"
                " WHERE tenant_id = 't1' AND journey_id = $1",
                UUID(car.journey),
            )
        assert now_ms - ended_ms >= QUIET_S * 1_000 - 50
        lasts[pin] = (await shares.lasting(server.db, [share_id]))[share_id] - ended_ms
    assert lasts[DURESS] == lasts[RIGHT] == shares.GRACE_MS
