"""Policies, devices and what drivers set, over HTTP."""

import asyncio
from typing import Any

import pytest

from alerts import pin
from alerts.alert import Kind
from alerts.events import PinResult
from alerts.policy import DEFAULTS, Pins
from realtime.store.people import contacts, devices, driver_settings
from tests.api.drives_people import POLICY
from tests.api.harness import Api, Reply
from tests.store.people import put_contact, put_driver

PHONE = "+442079460958"
DISPATCH_ONLY = {"steps": [{"contacts": ["dispatch"], "channels": ["socket"], "wait_s": 60}]}


@pytest.fixture(autouse=True)
async def drivers(api: Api) -> None:
    for tenant, vendor, driver in (("t1", "north", "d1"), ("t1", "south", "d2"), ("t2", "north", "d1")):
        await put_driver(api.db, tenant, vendor, driver)


async def put(api: Api, scope: str = "", body: Any = POLICY, token: str = "", kind: str = "sos") -> Reply:
    return await api.call("PUT", f"/api/v1/policies/{kind}{scope}", token or api.token("admin"), json=body)


async def plan(api: Api, driver: str = "d1", kind: str = "sos", token: str = "") -> Any:
    return (await api.get(f"/api/v1/drivers/{driver}/escalation?kind={kind}", token)).json


async def test_who_may_set_a_policy_of_which_scope(api: Api) -> None:
    dispatcher, driver = api.token("dispatcher", ["north"]), api.token("driver", ["north"], driver="d1")
    cases = [
        (driver, "", 403),
        (driver, "?driver=d1", 403),
        (dispatcher, "", 403),
        (dispatcher, "?vendor=north", 200),
        (dispatcher, "?vendor=south", 403),
        (dispatcher, "?driver=d1", 200),
        (dispatcher, "?driver=d2", 404),
        (dispatcher, "?driver=unheard", 404),
        (api.token("admin", ["north"]), "", 403),
        (api.token("admin"), "", 200),
        (api.token("service"), "", 200),
    ]
    for token, scope, status in cases:
        for reply in (
            await put(api, scope, token=token),
            await api.call("DELETE", f"/api/v1/policies/sos{scope}", token),
        ):
            assert reply.status == status, (scope, reply.body)


async def test_the_narrowest_policy_that_is_set_counts_and_deleting_it_lets_the_next_one(api: Api) -> None:
    await put_contact(api.db, "t1", driver_id="d1", phone=PHONE)
    seen = [(await plan(api))["source"]]
    for scope in ("", "?vendor=north", "?driver=d1"):
        await put(api, scope)
        seen.append((await plan(api))["source"])
    assert seen == ["built_in", "tenant", "vendor", "driver"]
    assert (await plan(api, kind="fall"))["source"] == "built_in"
    assert (await plan(api, "d2"))["source"] == "tenant"
    await api.call("DELETE", "/api/v1/policies/sos?driver=d1")
    assert (await plan(api))["source"] == "vendor"
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert [step.wait_s for step in found.policies[Kind.SOS].steps] == [30]
    assert (await contacts.circumstances(api.db, "t2", "north", "d1")).policies == {}


async def test_a_policy_is_read_as_it_was_set(api: Api) -> None:
    body = {
        "steps": [{"contacts": ["*"], "channels": ["sms", "call"], "wait_s": 45, "fallback": ["email"]}],
        "loops": 2, "countdown_s": 20, "ack_silence_s": 600, "exhausted_channels": ["webhook"],
    }  # fmt: skip
    assert (await put(api, "?vendor=north", body)).json["policy"] == body
    found = (await api.get("/api/v1/policies/sos?vendor=north")).json
    assert (found["policy"], found["updated_by"]) == (body, "admin@t1")
    assert (await api.get("/api/v1/policies/sos?driver=d1")).json["policy"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": POLICY["steps"] * 21},
        {"steps": [{"contacts": [], "channels": ["sms"], "wait_s": 60}]},
        {"steps": [{"contacts": ["*"], "channels": [], "wait_s": 60}]},
        {"steps": [{"contacts": ["*"], "channels": ["pigeon"], "wait_s": 60}]},
        {"steps": [{"contacts": ["*"], "channels": ["sms", "sms"], "wait_s": 60}]},
        {"steps": [{"contacts": ["*"], "channels": ["sms"], "wait_s": 0}]},
        {"steps": [{"contacts": ["*"], "channels": ["sms"], "wait_s": 10**9}]},
        {
            "steps": [
                {"contacts": ["0199d2c8-0000-4000-8000-000000000001"], "channels": ["sms"], "wait_s": 60}
            ]
        },
        {"loops": 0},
        {"loops": 10**6},
        {"countdown_s": -1},
        {"ack_silence_s": 1},
        {"exhausted_channels": []},
        {"nonsense": 1},
    ],
)
async def test_what_is_no_policy_is_refused(api: Api, change: dict[str, Any]) -> None:
    assert (await put(api, body=POLICY | change)).code == "invalid"


async def test_a_step_names_only_contacts_that_all_drivers_of_the_scope_have(api: Api) -> None:
    hers = str(await put_contact(api.db, "t1", driver_id="d1", phone=PHONE))
    vendors = str(await put_contact(api.db, "t1", vendor_id="north", phone=PHONE))
    strangers = str(await put_contact(api.db, "t2", phone=PHONE))
    cases = [
        ("?driver=d1", hers, 200),
        ("?driver=d1", vendors, 200),
        ("?vendor=north", vendors, 200),
        ("?vendor=north", hers, 400),
        ("?vendor=south", vendors, 400),
        ("", vendors, 400),
        ("", strangers, 400),
        ("?driver=d1", strangers, 400),
    ]
    for scope, contact, status in cases:
        body = {"steps": [{"contacts": [contact], "channels": ["sms"], "wait_s": 60}]}
        assert (await put(api, scope, body)).status == status, (scope, contact)


async def test_the_dry_run_says_who_would_be_told_and_who_would_not_and_why(api: Api) -> None:
    ana = str(await put_contact(api.db, "t1", name="Ana", driver_id="d1", phone=PHONE, position=1))
    await put_contact(api.db, "t1", name="Bo", driver_id="d1", phone=PHONE, phone_verified_ms=None)
    await put_contact(api.db, "t1", name="Cy", driver_id="d1", email="c@d.example")
    await put_contact(api.db, "t1", name="Di", driver_id="d1")
    await put_contact(api.db, "t1", name="Ed", vendor_id="north", subject="ed")
    await put_contact(api.db, "t1", name="Flo", vendor_id="south", phone=PHONE)
    body = {"steps": [
        {"contacts": ["dispatch", "*"], "channels": ["socket", "sms"], "wait_s": 30, "fallback": ["call"]},
        {"contacts": [ana], "channels": ["call"], "wait_s": 60},
    ], "loops": 2}  # fmt: skip
    await put(api, "?driver=d1", body)
    found = await plan(api)
    first, second = found["steps"]
    assert [(one["name"], one["channels"], one["fallback"]) for one in first["told"]] == [
        ("Dispatch", ["socket"], []),
        ("Ana", ["sms"], ["call"]),
    ]
    assert (second["after_s"], [one["name"] for one in second["told"]]) == (30, ["Ana"])
    assert {one["name"]: one["reasons"] for one in found["untold"]} == {
        "Bo": ["not_verified"], "Cy": ["no_channel"], "Di": ["no_address"], "Ed": ["no_device"],
    }  # fmt: skip
    assert (found["loops"], found["reaches_somebody"]) == (2, True)
    await put(api, "?driver=d1", DISPATCH_ONLY)
    found = await plan(api)
    assert found["reaches_somebody"] is False
    assert {one["name"]: one["reasons"] for one in found["untold"]}["Ana"] == ["not_in_policy"]


async def test_without_a_policy_the_built_in_one_is_shown(api: Api) -> None:
    found = await plan(api)
    assert found["loops"] == DEFAULTS[Kind.SOS].loops
    assert found["reaches_somebody"] is False, "nobody has an address"


async def test_who_may_ask_for_the_dry_run(api: Api) -> None:
    where = "/api/v1/drivers/d1/escalation"
    for token, status in (
        (api.token("driver", ["north"], driver="d1"), 200),
        (api.token("driver", ["north"], driver="d9"), 404),
        (api.token("dispatcher", ["south"]), 404),
        (api.token("dispatcher", ["north"]), 200),
        (api.token("admin", tenant="t9"), 404),
    ):
        assert (await api.get(where, token)).status == status


# --- what drivers set


async def pins(api: Api, token: str, **body: Any) -> Reply:
    return await api.call("PUT", "/api/v1/drivers/d1/pins", token, json={"cancel": None} | body)


async def kept_pins(api: Api) -> Pins:
    return (await driver_settings.get(api.db, "t1", "d1")).pins


async def test_pins_are_the_drivers_alone_and_never_shown(api: Api) -> None:
    driver, admin = api.token("driver", ["north"], driver="d1"), api.token("admin")
    for token in (admin, api.token("dispatcher"), api.token("driver", ["north"], driver="d9")):
        assert (await pins(api, token, cancel="1234")).status in (403, 404)
    assert (await pins(api, driver, cancel="1234", duress="4321")).status == 200
    kept = await kept_pins(api)
    assert pin.checked("1234", kept) is PinResult.RIGHT
    assert pin.checked("4321", kept) is PinResult.DURESS
    shown = {"ok": True, "name": "", "language": "en", "cancel_pin_set": True}
    for token, more in ((driver, {}), (admin, {"pins_changed_under_duress": False})):
        assert (await api.get("/api/v1/drivers/d1/safety", token)).json == shown | more
    assert (await pins(api, api.token("dispatcher"))).status == 403
    assert (await pins(api, admin)).status == 200
    assert await kept_pins(api) == Pins()


async def test_a_pin_is_changed_only_by_who_knows_it(api: Api) -> None:
    driver = api.token("driver", ["north"], driver="d1")
    await pins(api, driver, cancel="1234", duress="4321")
    assert (await pins(api, driver, cancel="9999")).code == "forbidden"
    assert (await pins(api, driver, cancel="9999", current="0000")).code == "forbidden"
    under_duress = await pins(api, driver, cancel="9999", current="4321")
    assert under_duress.status == 200, "whoever stands beside them sees it done"
    kept = await kept_pins(api)
    assert [pin.checked(typed, kept) for typed in ("1234", "9999", "4321")] == [
        PinResult.RIGHT, PinResult.DURESS, PinResult.WRONG,
    ]  # fmt: skip
    assert (await pins(api, driver, cancel="9999", current="1234")).status == 200
    assert pin.checked("9999", await kept_pins(api)) is PinResult.RIGHT


async def test_a_pin_is_not_found_by_trying(api: Api) -> None:
    driver = api.token("driver", ["north"], driver="d1")
    await pins(api, driver, cancel="1234")
    replies = await asyncio.gather(*(pins(api, driver, cancel="9999", current="0000") for _ in range(9)))
    assert sum(reply.code == "forbidden" for reply in replies) == driver_settings.MAX_WRONG
    assert (await pins(api, driver, cancel="9999", current="1234")).code == "rate_limited"


@pytest.mark.parametrize(
    "body",
    [
        {"cancel": "123"},
        {"cancel": "12a4"},
        {"cancel": "1234", "duress": "1234"},
        {"duress": "1234"},
        {"cancel": "1" * 9},
    ],
)
async def test_what_is_no_pair_of_pins_is_refused(api: Api, body: dict[str, str]) -> None:
    assert (await pins(api, api.token("driver", ["north"], driver="d1"), **body)).code == "invalid"


async def test_a_driver_who_never_connected_may_set_what_is_theirs(api: Api) -> None:
    token = api.token("driver", ["north"], driver="new")
    reply = await api.call("PUT", "/api/v1/drivers/new/safety", token, json={"name": "Ada", "language": "de"})
    assert (reply.json["name"], reply.json["language"]) == ("Ada", "de")
    found = await contacts.circumstances(api.db, "t1", "north", "new")
    assert (found.driver_name, found.language) == ("Ada", "de")


# --- devices


async def register(api: Api, token: str, push_token: str) -> Reply:
    body = {"push_token": push_token, "platform": "android", "language": "de"}
    return await api.call("POST", "/api/v1/devices", token, json=body)


async def tokens(api: Api) -> set[str]:
    async with api.db.writer() as connection:
        return {row[0] for row in await connection.fetch("SELECT push_token FROM devices")}


async def test_a_dispatchers_device_is_told_of_its_vendors_alerts(api: Api) -> None:
    await register(api, api.token("dispatcher", ["north"]), "token-north")
    await register(api, api.token("driver", ["north"], driver="d1"), "token-driver")
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert found.contacts[-1].push_tokens == ("token-north",)
    found = await contacts.circumstances(api.db, "t1", "south", "d2")
    assert found.contacts[-1].push_tokens == ()


async def test_a_device_registers_again_moves_with_its_user_and_is_deleted_by_its_owner_alone(
    api: Api,
) -> None:
    one, two = (api.token("driver", ["north"], driver=name) for name in ("d1", "d3"))
    device_id = (await register(api, one, "token-one")).json["device_id"]
    assert (await register(api, one, "token-one")).json["device_id"] == device_id
    assert (await api.call("DELETE", f"/api/v1/devices/{device_id}", two)).status == 404
    await register(api, two, "token-one")
    assert (await api.get("/api/v1/devices", one)).json["devices"] == []
    (seen,) = (await api.get("/api/v1/devices", two)).json["devices"]
    assert (seen["device_id"], "token-one" in str(seen)) == (device_id, False)
    assert (await api.call("DELETE", f"/api/v1/devices/{device_id}", two)).status == 200
    assert await tokens(api) == set()


async def test_a_subject_has_so_many_devices_and_the_newest_stay(api: Api) -> None:
    token = api.token("driver", ["north"], driver="d1")
    names = [f"push-token-{n:02}" for n in range(devices.PER_SUBJECT + 2)]
    for n, name in enumerate(names):
        await register(api, token, name)
        async with api.db.writer() as connection:
            await connection.execute("UPDATE devices SET seen_ms = $2 WHERE push_token = $1", name, n + 1)
    assert await tokens(api) == set(names[2:])


async def test_a_dead_token_is_pruned_wherever_it_is(api: Api) -> None:
    await register(api, api.token("driver", ["north"], driver="d1"), "token-one")
    await register(api, api.token("driver", ["north"], driver="d1", tenant="t2"), "token-one")
    await register(api, api.token("driver", ["north"], driver="d1"), "token-two")
    assert await devices.prune(api.db, "token-one") == 2
    assert await tokens(api) == {"token-two"}


@pytest.mark.parametrize("bad", ["short", "with space in it", "a\nb-and-more", "x" * 5_000])
async def test_what_is_no_push_token_is_refused(api: Api, bad: str) -> None:
    assert (await register(api, api.token("dispatcher"), bad)).code == "invalid"
