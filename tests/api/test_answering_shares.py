"""Links that answer, and the number that their holders may call: who makes, sets and sees them."""

from typing import Any

import pytest

from tests.api.harness import Api, Reply
from tests.store.people import put_driver

HOUR = {"scope": "journey", "expires_in_s": 3_600}
WHERE = "/api/v1/drivers/d1/profile"
PHONE = "+442079460958"


async def share(api: Api, journey: str, token: str = "", **more: Any) -> Reply:
    return await api.call("POST", f"/api/v1/journeys/{journey}/shares", token, json={**HOUR, **more})


async def test_a_share_only_looks_unless_it_is_made_to_answer_and_has_a_name(api: Api) -> None:
    journey = await api.journey(driver="d1")
    plain = await share(api, journey)
    named = await share(api, journey, may_answer=True, name=" Ana  Lima ")
    assert (plain.status, named.status) == (201, 201)
    listed = (await api.get(f"/api/v1/journeys/{journey}/shares")).json["shares"]
    found = {one["id"]: (one["may_answer"], one["name"]) for one in listed}
    assert found == {plain.json["id"]: (False, ""), named.json["id"]: (True, "Ana Lima")}


@pytest.mark.parametrize(
    "body",
    [
        {"may_answer": True},
        {"may_answer": True, "name": " "},
        {"may_answer": True, "name": "x" * 81},
        {"may_answer": True, "name": "Ana\u202e"},
        {"name": "Ana"},
        {"may_answer": "yes", "name": "Ana"},
        {"may_answer": 1, "name": "Ana"},
    ],
)
async def test_a_link_that_answers_is_nobodys_without_a_proper_name(api: Api, body: dict[str, Any]) -> None:
    journey = await api.journey(driver="d1")
    reply = await share(api, journey, **body)
    assert (reply.status, reply.code) == (400, "invalid")
    assert (await api.get(f"/api/v1/journeys/{journey}/shares")).json["shares"] == []


async def test_a_driver_and_their_overseers_set_the_number_and_see_it(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    driver, admin = api.token("driver", ["north"], driver="d1"), api.token("admin")
    for token in (driver, admin, api.token()):
        reply = await api.call("PUT", WHERE, token, json={"name": "Ada", "phone": "+44 20 7946 0958"})
        assert (reply.status, reply.json) == (200, {"ok": True, "name": "Ada", "phone": PHONE})
    assert (await api.get(WHERE, driver)).json["phone"] == PHONE
    assert (await api.get(WHERE)).json == {"ok": True, "name": "Ada", "phone": PHONE}
    taken = await api.call("PUT", WHERE, driver, json={"name": "Ada"})
    assert taken.json["phone"] is None


async def test_a_profile_keeps_language_and_pins_and_they_keep_it(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    driver, safety = api.token("driver", ["north"], driver="d1"), "/api/v1/drivers/d1/safety"
    await api.call("PUT", safety, driver, json={"name": "Ada", "language": "ar"})
    await api.call("PUT", "/api/v1/drivers/d1/pins", driver, json={"cancel": "2468"})
    await api.call("PUT", WHERE, driver, json={"name": "Ada L", "phone": PHONE})
    held = (await api.get(safety, driver)).json
    assert (held["name"], held["language"], held["cancel_pin_set"]) == ("Ada L", "ar", True)
    await api.call("PUT", safety, driver, json={"name": "Ada", "language": "en"})
    assert (await api.get(WHERE, driver)).json["phone"] == PHONE


@pytest.mark.parametrize("phone", ["", "020 7946 0958", "+1", "+44 20 7946 0958; drop", 5])
async def test_a_number_that_is_none_is_refused(api: Api, phone: Any) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    reply = await api.call("PUT", WHERE, api.token("admin"), json={"name": "Ada", "phone": phone})
    assert (reply.status, reply.code) == (400, "invalid")


async def test_a_profile_of_others_is_byte_for_byte_a_missing_one(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    strangers = (
        api.token("admin", tenant="t2"),
        api.token("admin", ["south"]),
        api.token("driver", ["north"], driver="d2"),
    )
    for token in strangers:
        for method, body in (("PUT", {"name": "Eve", "phone": PHONE}), ("GET", None)):
            missing = await api.call(method, "/api/v1/drivers/nobody/profile", token, json=body)
            theirs = await api.call(method, WHERE, token, json=body)
            assert (theirs.status, theirs.body) == (missing.status, missing.body) == (404, missing.body)
    assert (await api.get(WHERE, api.token("admin"))).json["name"] == ""


async def test_the_number_is_erased_with_the_driver(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    admin = api.token("admin")
    await api.call("PUT", WHERE, admin, json={"name": "Ada", "phone": PHONE})
    assert (await api.call("DELETE", "/api/v1/drivers/d1", admin)).json["done"] is True
    async with api.db.writer() as connection:
        left = await connection.fetchval("SELECT count(*) FROM driver_safety WHERE phone IS NOT NULL")
    assert left == 0
