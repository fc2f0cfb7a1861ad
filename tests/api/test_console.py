"""What a dispatcher asks for: names, open journeys, a driver's own number, alerts raised for a driver."""

import asyncio
import uuid
from typing import Any

import pytest

from alerts.press import parse_press
from geo.position import Point
from realtime.protocol import Code
from realtime.store.people import driver_settings, tenants
from realtime.store.people.driver_settings import Profile
from tests.api.harness import Api, Reply, refused
from tests.store.people import put_driver

NAMES = "/api/v1/drivers/names"
PROFILE = "/api/v1/drivers/d1/profile"
CHANGES = "/api/v1/drivers/d1/changes"
BY = "dispatcher@t1"
PHONE = "+442079460958"


async def three_drivers(api: Api) -> None:
    """d1 and d2 of north, d3 of south, and a namesake of d1 in another tenant; d2 has no name."""
    for tenant, vendor, driver, name in (
        ("t1", "north", "d1", "Asha Okoye"),
        ("t1", "north", "d2", ""),
        ("t1", "south", "d3", "Cleo"),
        ("t2", "north", "d1", "Somebody else"),
    ):
        await put_driver(api.db, tenant, vendor, driver)
        if name:
            await driver_settings.set_profile(api.db, tenant, driver, Profile(name))


# --- names


async def names(api: Api, *drivers: str, token: str = "") -> Reply:
    return await api.call("POST", NAMES, token, json={"drivers": list(drivers)})


async def test_names_are_looked_up_by_id_within_tenant_and_vendors(api: Api) -> None:
    await three_drivers(api)
    everybody = await names(api, "d1", "d2", "d3", "nobody")
    assert everybody.status == 200, everybody.body
    assert everybody.json == {"ok": True, "names": {"d1": "Asha Okoye", "d3": "Cleo"}}
    north = await names(api, "d1", "d2", "d3", "nobody", token=api.token("dispatcher", ["north"]))
    assert north.json["names"] == {"d1": "Asha Okoye"}, "another vendor's is like one that does not exist"
    other = await names(api, "d1", "d3", token=api.token("admin", tenant="t2"))
    assert other.json["names"] == {"d1": "Somebody else"}
    assert (await names(api, "d1", token=api.token("dispatcher", []))).json["names"] == {}


async def test_names_are_for_overseers_and_bounded(api: Api) -> None:
    await three_drivers(api)
    driver = api.token("driver", ["north"], driver="d1")
    assert (await names(api, "d1", token=driver)).code == "forbidden"
    for wrong in ([], [f"d{n}" for n in range(501)], ["d 1"], ["d1\n"], "d1", [1]):
        reply = await api.call("POST", NAMES, json={"drivers": wrong})
        assert (reply.status, reply.code) == (400, "invalid"), wrong
    twice = await names(api, "d1", "d1")
    assert twice.json["names"] == {"d1": "Asha Okoye"}


async def test_a_driver_called_names_can_still_be_erased(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "names")
    reply = await api.call("DELETE", "/api/v1/drivers/names", api.token("admin"))
    assert (reply.status, reply.json["done"]) == (200, True)


# --- open journeys


async def test_positions_say_who_has_an_open_journey(api: Api) -> None:
    open_one, ended = await api.journey("d1", points=1), await api.journey("d2", points=1)
    await api.journey("d9", vendor="south", points=1)
    async with api.db.writer() as connection:
        await connection.execute(
            "UPDATE journeys SET ended_ms = now_ms(), final_seq = 1 WHERE journey_id = $1", ended
        )
    at = Point(1, 1, 53.4, -2.98, None, None, None, None, None)
    rows = api.fakes.rows["t1", "north"] = [
        ("d1", open_one, at, 1),
        ("d2", ended, at, 1),
        ("d3", ended, at, 1),
    ]
    listed = await api.get("/api/v1/vendors/north/positions")
    assert {one["driver"]: one["journey_open"] for one in listed.json["positions"]} == {
        "d1": True,
        "d2": False,
        "d3": False,
    }
    await api.journey("d2")  # a new one that has no point yet
    rows.append(("d4", ended, at, 1))
    listed = await api.get("/api/v1/vendors/north/positions")
    assert {one["driver"] for one in listed.json["positions"] if one["journey_open"]} == {"d1", "d2"}


# --- the number and its edit


async def put(api: Api, token: str, **body: Any) -> Reply:
    return await api.call("PUT", PROFILE, token, json=body)


async def test_a_dispatcher_of_the_vendor_sees_and_sets_the_drivers_own_number(api: Api) -> None:
    await three_drivers(api)
    north = api.token("dispatcher", ["north"])
    done = await put(api, north, name="Asha O", phone="+44 20 7946 0958")
    assert (done.status, done.json["name"], done.json["phone"]) == (200, "Asha O", PHONE)
    assert (await api.get(PROFILE, north)).json["phone"] == PHONE
    south = api.token("dispatcher", ["south"])
    for reply in (await put(api, south, name="Eve", phone=PHONE), await api.get(PROFILE, south)):
        assert (reply.status, reply.code) == (404, "not_found")
    contact = {"name": "Mum", "driver": "d1", "phone": "+442079460959"}
    made = await api.call("POST", "/api/v1/contacts", api.token("admin"), json=contact)
    assert made.status == 201
    assert b"+442079460959" not in (await api.get("/api/v1/contacts?driver=d1", north)).body, "stays masked"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"name": "", "phone": None}, "name"),
        ({"name": " \t ", "phone": None}, "name"),
        ({"name": "x" * 81, "phone": None}, "name"),
        ({"name": "Asha\u202e", "phone": None}, "name"),
        ({"name": "Asha", "phone": "12"}, "phone"),
        ({"name": "Asha", "phone": "<script>"}, "phone"),
        ({"name": "Asha", "phone": "+44 20 7946 0958; drop"}, "phone"),
    ],
)
async def test_a_wrong_name_or_number_is_refused_by_its_field(api: Api, body: Any, says: str) -> None:
    await three_drivers(api)
    reply = await put(api, api.token("dispatcher", ["north"]), **body)
    assert (reply.status, reply.code) == (400, "invalid")
    assert reply.json["error"]["message"].startswith(says)
    assert (await api.get(PROFILE, api.token("admin"))).json["name"] == "Asha Okoye"
    assert (await api.get(CHANGES, api.token("admin"))).json["changes"] == []


async def test_each_change_is_audited_with_who_made_it(api: Api) -> None:
    await three_drivers(api)
    north = api.token("dispatcher", ["north"])
    await put(api, north, name="Asha O", phone=PHONE)
    await put(api, north, name="Asha O", phone=PHONE)  # nothing changes
    driver = api.token("driver", ["north"], driver="d1")
    await api.call("PUT", "/api/v1/drivers/d1/safety", driver, json={"name": "Ash", "language": "de"})
    listed = (await api.get(CHANGES, north)).json["changes"]
    assert [(one["by_role"], one["by_id"], one["field"], one["before"], one["after"]) for one in listed] == [
        ("driver", "d1", "name", "Asha O", "Ash"),
        ("dispatcher", BY, "phone", None, "…58"),
        ("dispatcher", BY, "name", "Asha Okoye", "Asha O"),
    ], "newest first, numbers masked"
    assert all(one["at"] > 1_700_000_000_000 for one in listed)
    hidden = await api.get(CHANGES, api.token("dispatcher", ["south"]))
    missing = await api.get("/api/v1/drivers/nobody/changes", api.token("dispatcher", ["south"]))
    assert (hidden.status, hidden.body) == (missing.status, missing.body) == (404, missing.body)
    assert (await api.get(CHANGES, driver)).code == "forbidden", "the history is for overseers"
    paired = {"vendor": "north", "driver": "d2", "name": "Bea"}
    assert (await api.call("POST", "/api/v1/pairings", north, json=paired)).status == 201
    (named,) = (await api.get("/api/v1/drivers/d2/changes", north)).json["changes"]
    assert (named["by_id"], named["field"], named["before"], named["after"]) == (BY, "name", None, "Bea")


async def test_the_history_of_changes_is_bounded_and_erased_with_the_driver(api: Api) -> None:
    await three_drivers(api)
    admin = api.token("admin")
    for n in range(60):
        await put(api, admin, name=f"Asha {n}")
    listed = (await api.get(CHANGES, admin)).json["changes"]
    assert (len(listed), listed[0]["after"]) == (50, "Asha 59")
    assert (await api.call("DELETE", "/api/v1/drivers/d1", admin)).json["done"] is True
    async with api.db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM driver_changes WHERE driver_id = 'd1'") == 0


# --- raised by a dispatcher


async def raised(api: Api, token: str, **body: Any) -> Reply:
    given = {"sos_id": str(uuid.uuid4()), "vendor": "north", "driver": "d1"} | body
    return await api.call("POST", "/api/v1/alerts", token, json=given)


@pytest.mark.parametrize("drill", [False, True])
async def test_a_dispatcher_raises_an_alert_for_a_driver_of_theirs(api: Api, drill: bool) -> None:
    await three_drivers(api)
    north = api.token("dispatcher", ["north"])
    sos_id = str(uuid.uuid4())
    first = await raised(api, north, sos_id=sos_id, drill=drill, message="he rang us")
    assert first.status == 200, first.body
    again = await raised(api, north, sos_id=sos_id, drill=drill)
    assert again.json["alert_id"] == first.json["alert_id"], "the same sos_id is the same alert"
    detail = (await api.get(f"/api/v1/alerts/{first.json['alert_id']}", north)).json
    assert detail["alert"]["raised_by"] == {"kind": "operator", "id": BY, "name": ""}
    assert (detail["alert"]["drill"], detail["alert"]["message"]) == (drill, "he rang us")
    assert detail["alert"]["presses"] == 1
    begin = detail["history"][0]
    assert (begin["what"], begin["by_kind"], begin["by_id"]) == ("raised", "operator", BY)
    assert begin["detail"]["source"] == "dispatcher"


async def test_a_driver_of_others_is_like_one_that_does_not_exist(api: Api) -> None:
    await three_drivers(api)
    north = api.token("dispatcher", ["north"])
    missing = await raised(api, north, driver="nobody")
    assert (missing.status, missing.code) == (404, "not_found")
    for body in (
        {"vendor": "south", "driver": "d3"},  # another vendor's
        {"vendor": "north", "driver": "d3"},  # the same, under a vendor of ours
        {"vendor": "south", "driver": "d1"},
        {"vendor": "nowhere", "driver": "d1"},
    ):
        reply = await raised(api, north, **body)
        assert (reply.status, reply.body) == (missing.status, missing.body), body
    other = await raised(api, api.token("dispatcher", tenant="t3"))
    assert (other.status, other.body) == (missing.status, missing.body)
    assert (await raised(api, api.token("driver", ["north"], driver="d1"))).code == "forbidden"
    assert (await api.get("/api/v1/alerts", api.token("admin"))).json["alerts"] == []


async def test_a_press_of_the_driver_makes_it_the_drivers_own(api: Api) -> None:
    await three_drivers(api)
    north = api.token("dispatcher", ["north"])
    by_us = (await raised(api, north)).json["alert_id"]
    press = parse_press(
        {"sos_id": str(uuid.uuid4())},
        tenant="t1",
        vendor="north",
        driver="d1",
        received_ms=api.fakes.now_ms(),
        source="http",
    )
    assert api.intake is not None
    await api.intake.press(press)
    alert = (await api.get(f"/api/v1/alerts/{by_us}", north)).json["alert"]
    assert (alert["presses"], alert["raised_by"]) == (2, None)


@pytest.mark.parametrize("failure", [RuntimeError("undefined table"), TimeoutError(), None])
async def test_an_alert_is_raised_with_any_failure_of_postgres_when_redis_knows_the_driver(
    api: Api, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    await three_drivers(api)

    async def fails(*_: object) -> str:
        if failure is None:
            await asyncio.Event().wait()
            raise AssertionError
        raise failure

    monkeypatch.setattr(tenants, "vendor_of", fails)
    api.fakes.presence["t1", "north"] = {"d1": {"state": "online", "since_ms": 1}}
    north = api.token("dispatcher", ["north"])
    async with asyncio.timeout(30):
        assert (await raised(api, north)).status == 200
        assert (await raised(api, north, driver="d2")).code == "unavailable"


async def test_an_alert_is_raised_with_the_vendors_list_unavailable_when_redis_knows_the_driver(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three_drivers(api)

    async def unavailable(*_: object) -> str:
        raise refused(Code.UNAVAILABLE)

    monkeypatch.setattr(tenants, "vendor_of", unavailable)
    north = api.token("dispatcher", ["north"])
    assert (await raised(api, north)).code == "unavailable", "neither store says whose driver it is"
    api.fakes.presence["t1", "north"] = {"d1": {"state": "online", "since_ms": 1}}
    assert (await raised(api, north)).status == 200
    assert (await raised(api, north, driver="d2")).code == "unavailable"
    assert (await raised(api, north, vendor="south", driver="d3")).code == "not_found"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sos_id": "00000000-0000-0000-0000-000000000000"}, 400),
        ({"sos_id": "not a uuid"}, 400),
        ({"driver": "d 1"}, 400),
        ({"driver": "d1\n"}, 400),
        ({"vendor": ""}, 400),
        ({"drill": "yes"}, 400),
        ({"message": "x" * 501}, 400),
        ({"source": "socket"}, 400),
        ({"raised_by": "boss"}, 400),
        ({"driver": "D1"}, 404),
        ({"vendor": "North"}, 404),
    ],
)
async def test_a_wrong_request_raises_nothing(api: Api, body: dict[str, Any], status: int) -> None:
    await three_drivers(api)
    assert (await raised(api, api.token("dispatcher", ["north"]), **body)).status == status
    assert (await api.get("/api/v1/alerts", api.token("admin"))).json["alerts"] == []


async def test_an_sos_and_a_drill_stand_apart_and_each_press_names_who_made_it(api: Api) -> None:
    await three_drivers(api)
    north, admin = api.token("dispatcher", ["north"]), api.token("admin")
    real, drill = await raised(api, north, message="a\u202eb\x00 c"), await raised(api, admin, drill=True)
    assert real.json["alert_id"] != drill.json["alert_id"]
    joined = await raised(api, admin)
    assert joined.json["alert_id"] == real.json["alert_id"], "one open SOS a driver"
    detail = (await api.get(f"/api/v1/alerts/{real.json['alert_id']}", admin)).json
    assert (detail["alert"]["message"], detail["alert"]["raised_by"]["id"]) == ("ab c", BY)
    by = [(line["what"], line["by_id"], line["detail"]["source"]) for line in detail["history"][:3:2]]
    assert by[0] == ("raised", BY, "dispatcher")
    pressed = [line for line in detail["history"] if line["what"] == "pressed"]
    assert [(line["by_id"], line["detail"]["source"]) for line in pressed] == [("admin@t1", "api")]


async def test_a_driver_who_has_moved_is_no_longer_the_old_vendors(api: Api) -> None:
    await three_drivers(api)
    north, south = api.token("dispatcher", ["north"]), api.token("dispatcher", ["south"])
    await put_driver(api.db, "t1", "south", "d1")
    assert (await raised(api, north)).code == "not_found"
    assert (await names(api, "d1", token=north)).json["names"] == {}
    assert (await put(api, north, name="Eve")).code == "not_found"
    assert (await names(api, "d1", token=south)).json["names"] == {"d1": "Asha Okoye"}
    assert (await raised(api, south, vendor="south")).status == 200


async def test_the_id_of_a_drivers_own_press_gives_that_alert_unchanged(api: Api) -> None:
    await three_drivers(api)
    sos_id = str(uuid.uuid4())
    press = parse_press(
        {"sos_id": sos_id}, tenant="t1", vendor="north", driver="d1", received_ms=1, source="http"
    )
    assert api.intake is not None
    own = (await api.intake.press(press)).alert
    again = await raised(api, api.token("dispatcher", ["north"]), sos_id=sos_id)
    assert again.json["alert_id"] == str(own.alert_id)
    alert = (await api.get(f"/api/v1/alerts/{own.alert_id}", api.token("admin"))).json["alert"]
    assert (alert["raised_by"], alert["presses"]) == (None, 1)


async def test_links_and_the_driver_see_that_it_was_raised_and_not_by_whom(api: Api) -> None:
    await three_drivers(api)
    alert_id = (await raised(api, api.token("dispatcher", ["north"]))).json["alert_id"]
    driver = api.token("driver", ["north"], driver="d1")
    (seen,) = (await api.get("/api/v1/alerts", driver)).json["alerts"]
    assert (seen["alert_id"], seen["raised_by"]) == (
        alert_id,
        {"kind": "operator", "id": "", "name": "operator"},
    )
