"""What drivers set for themselves: PINs under duress, the order of their contacts, test messages."""

from typing import Any

import pytest

from alerts import pin
from alerts.attempt import Channel, Permanent, Purpose, Retryable
from alerts.events import PinResult
from realtime.store.people import driver_settings
from tests.api.harness import Api, Reply
from tests.store.people import put_driver

BASE = "/api/v1/contacts"
PINS = "/api/v1/drivers/d1/pins"
SAFETY = "/api/v1/drivers/d1/safety"
ORDER = "/api/v1/drivers/d1/contacts/order"
PHONE = "+442079460958"


@pytest.fixture(autouse=True)
async def drivers(api: Api) -> None:
    for tenant, vendor, driver in (("t1", "north", "d1"), ("t1", "north", "d2"), ("t2", "north", "d1")):
        await put_driver(api.db, tenant, vendor, driver)


def driver(api: Api, name: str = "d1", tenant: str = "t1") -> str:
    return api.token("driver", ["north"], driver=name, tenant=tenant)


# --- PINs


async def change(api: Api, cancel: str | None, **more: Any) -> Reply:
    return await api.call("PUT", PINS, driver(api), json={"cancel": cancel} | more)


async def seen_after(api: Api, current: str, cancel: str | None, duress: str | None) -> list[Any]:
    """All that the driver's token shows of a change of PINs by ``current``."""
    await driver_settings.set_pins(api.db, "t1", "d1", pin.pins_of("1234", "4321", (b"a" * 16, b"b" * 16)))
    replies = [await change(api, cancel, duress=duress, current=current)]
    replies.append(await api.get(SAFETY, driver(api)))
    replies.append(await change(api, "7777", current="4321"))
    replies.append(await change(api, "7777", current="0000"))
    replies += [await change(api, "1212", current=typed) for typed in ("5555", "6666")]
    replies.append(await api.get(SAFETY, driver(api)))
    return [(reply.status, reply.json) for reply in replies]


@pytest.mark.parametrize(
    ("cancel", "duress"),
    [("5555", "6666"), ("5555", None), (None, None), ("5555", "5555"), (None, "5555")],
)
async def test_a_change_by_the_duress_pin_shows_what_a_change_by_the_right_one_shows(
    api: Api, cancel: str | None, duress: str | None
) -> None:
    assert await seen_after(api, "4321", cancel, duress) == await seen_after(api, "1234", cancel, duress)


async def test_the_own_pin_takes_back_what_was_changed_by_the_duress_pin(api: Api) -> None:
    await change(api, "1234", duress="4321")
    assert (await change(api, None, current="4321")).status == 200
    assert (await api.get(SAFETY, driver(api))).json["cancel_pin_set"] is False
    assert (await change(api, "9999", duress="8888", current="1234")).status == 200
    kept = (await driver_settings.get(api.db, "t1", "d1")).pins
    assert pin.checked("9999", kept) is PinResult.RIGHT
    assert pin.checked("8888", kept) is PinResult.DURESS
    assert pin.checked("", kept) is PinResult.WRONG


@pytest.mark.parametrize(
    ("cancel", "duress"),
    [
        ("\u0662\u0665\u0668\u0660", "\u0667\u0663\u0669\u0661"),
        ("\u06f2\u06f5\u06f8\u06f0", "\u06f7\u06f3\u06f9\u06f1"),
        ("\u0968\u096b\u096e\u0966", "\u096d\u0969\u096f\u0967"),
        ("\uff12\uff15\uff18\uff10", "\uff17\uff13\uff19\uff11"),
        ("25 80", "\u200e7391\u200f"),
    ],
)
async def test_pins_in_digits_of_any_script_are_the_pins_in_ascii(api: Api, cancel: str, duress: str) -> None:
    reply = await change(api, cancel, duress=duress)
    assert reply.status == 200, reply.body
    stored = (await driver_settings.get(api.db, "t1", "d1")).pins
    assert pin.checked("2580", stored) is PinResult.RIGHT
    assert pin.checked("7391", stored) is PinResult.DURESS
    assert (await change(api, "1357", current=cancel)).status == 200
    assert (await change(api, duress, current="1357")).status == 200
    stored = (await driver_settings.get(api.db, "t1", "d1")).pins
    assert pin.checked("7391", stored) is PinResult.RIGHT


@pytest.mark.parametrize(
    "typed",
    ["", "123", "\u0661\u0662\u0663", "25a0", "25\u00bd0", "123456789", "1.23", "\u4e8c", 2580, "1" * 17],
)
async def test_what_is_no_pin_is_refused_by_the_api_and_changes_nothing(api: Api, typed: Any) -> None:
    for body in ({"cancel": typed}, {"cancel": "2580", "duress": typed}):
        reply = await api.call("PUT", PINS, driver(api), json=body)
        assert (reply.status, reply.code) == (400, "invalid"), body
    assert (await api.get(SAFETY, driver(api))).json["cancel_pin_set"] is False


async def test_many_changes_by_the_duress_pin_are_limited_as_little_as_by_the_right_one(api: Api) -> None:
    await change(api, "1234", duress="4321")
    current = "4321"
    for number in range(8):
        new = f"{5000 + number}"
        assert (await change(api, new, current=current)).status == 200
        current = new


async def test_without_a_pin_as_shown_the_current_pin_is_not_compared(api: Api) -> None:
    await change(api, "1234", duress="4321")
    await change(api, None, current="4321")
    assert (await change(api, "5555", current="0000")).status == 200, "as for a driver without a PIN"


async def test_guesses_of_the_own_pin_are_bounded_while_none_is_shown_as_set(api: Api) -> None:
    await change(api, "1234", duress="4321")
    await change(api, None, current="4321")
    guesses = [await change(api, None, current=f"{number:04}") for number in range(1229, 1239)]
    assert [guess.status for guess in guesses] == [200] * 5 + [429] * 5
    kept = (await driver_settings.get(api.db, "t1", "d1")).pins
    assert pin.checked("1234", kept) is PinResult.RIGHT, "the driver's own PIN is still in force"


async def test_a_change_by_the_duress_pin_gives_back_no_wrong_tries(api: Api) -> None:
    await change(api, "1234", duress="4321")
    tries = ("0001", "0002", "0003", "4321", "0004", "0005", "0006")
    statuses = [(await change(api, "4321", current=typed)).status for typed in tries]
    assert statuses == [403, 403, 403, 200, 403, 403, 429]


async def seen_while_unset(api: Api, driver_pins: pin.Pins) -> list[Any]:
    """All that the driver's token shows of changes while its screens show that no PIN is set."""
    await driver_settings.set_pins(api.db, "t1", "d1", driver_pins)
    typed = [None, "0000", "4321", "1111", None, "", "2222", "3333", "4444", "5555", None]
    replies = [await change(api, None, current=one) for one in typed]
    replies.append(await change(api, "6666"))
    replies.append(await change(api, "7777", current="6666"))
    replies.append(await api.get(SAFETY, driver(api)))
    return [(reply.status, reply.json) for reply in replies]


async def test_a_removal_under_duress_shows_what_a_removal_shows(api: Api) -> None:
    both = pin.pins_of("1234", "4321", (b"a" * 16, b"b" * 16))
    masked = pin.masked_pins(both, None, None, b"c" * 16)
    assert await seen_while_unset(api, masked) == await seen_while_unset(api, pin.Pins())


async def test_a_driver_who_has_set_nothing_yet_may_send_a_current_pin(api: Api) -> None:
    assert (await change(api, "5555", current="0000")).status == 200


@pytest.mark.parametrize(("cancel", "duress"), [("5555", None), ("5555", "6666"), (None, None)])
async def test_only_overseers_see_that_pins_were_changed_under_duress(
    api: Api, cancel: str | None, duress: str | None
) -> None:
    overseers = [api.token(role, ["north"]) for role in ("dispatcher", "admin", "service")]

    async def shown() -> list[Any]:
        replies = [await api.get(SAFETY, token) for token in overseers]
        assert "pins_changed_under_duress" not in (await api.get(SAFETY, driver(api))).json
        return [reply.json["pins_changed_under_duress"] for reply in replies]

    assert await shown() == [False] * 3
    await change(api, "1234", duress="4321")
    assert await shown() == [False] * 3
    await change(api, cancel, duress=duress, current="4321")
    assert await shown() == [True] * 3
    written = await api.call("PUT", SAFETY, driver(api), json={"name": "Ann"})
    assert "pins_changed_under_duress" not in written.json
    assert (await change(api, "2222", current="1234")).status == 200
    assert await shown() == [False] * 3


# --- order


async def made(api: Api, token: str, name: str, **more: Any) -> str:
    reply = await api.call("POST", BASE, token, json={"name": name} | more)
    assert reply.status == 201, reply.body
    return str(reply.json["contact"]["contact_id"])


async def names(api: Api, token: str) -> list[str]:
    found = (await api.get(BASE, token)).json["contacts"]
    return [one["name"] for one in sorted(found, key=lambda one: (one["position"], one["created_at"]))]


async def test_a_driver_orders_all_of_their_contacts_and_a_new_one_comes_last(api: Api) -> None:
    token = driver(api)
    ids = [await made(api, token, name) for name in ("Ana", "Bo", "Cy")]
    order = [ids[2], ids[0], ids[1]]
    assert (await api.call("PUT", ORDER, token, json={"contact_ids": order})).status == 200
    assert await names(api, token) == ["Cy", "Ana", "Bo"]
    await made(api, token, "Di")
    assert await names(api, token) == ["Cy", "Ana", "Bo", "Di"]


async def test_an_order_that_is_not_of_all_own_contacts_is_a_conflict(api: Api) -> None:
    token, other = driver(api), driver(api, "d2")
    ids = [await made(api, token, name) for name in ("Ana", "Bo")]
    theirs = await made(api, other, "Eve")
    abroad = await made(api, driver(api, tenant="t2"), "Tom")
    vendors = await made(api, api.token("admin"), "Dispatch", vendor="north")
    missing = "0199d2c8-0000-4000-8000-000000000009"
    for given in ([ids[0]], [*ids, theirs], [ids[0], theirs], [*ids, missing], [ids[0], missing],
                  [ids[0], abroad], [ids[0], vendors]):  # fmt: skip
        reply = await api.call("PUT", ORDER, token, json={"contact_ids": given})
        assert (reply.status, reply.code) == (409, "conflict"), given
    twice = await api.call("PUT", ORDER, token, json={"contact_ids": [ids[0], ids[0]]})
    assert twice.code == "invalid"
    assert await names(api, token) == ["Ana", "Bo"]


async def test_the_order_of_another_drivers_contacts_looks_like_no_driver(api: Api) -> None:
    ids = [await made(api, driver(api), "Ana")]
    strangers = (driver(api, "d2"), driver(api, tenant="t2"), api.token("dispatcher", ["south"]))
    for token in strangers:
        reply = await api.call("PUT", ORDER, token, json={"contact_ids": ids})
        assert (reply.status, reply.code) in ((404, "not_found"), (409, "conflict"))
    unknown = await api.call(
        "PUT", "/api/v1/drivers/d9/contacts/order", driver(api), json={"contact_ids": ids}
    )
    known = await api.call("PUT", "/api/v1/drivers/d2/contacts/order", driver(api), json={"contact_ids": ids})
    assert unknown.json == known.json
    assert unknown.code == "not_found"


# --- test messages


async def verified(api: Api, token: str, channel: str = "sms", **more: Any) -> str:
    contact = await made(api, token, "Ana", phone=PHONE, email="ana@example.org", **more)
    await api.call("POST", f"{BASE}/{contact}/codes", token, json={"channel": channel})
    code = api.fakes.outboxes[Channel(channel)].sent[-1].alert.message
    body = {"channel": channel, "code": code}
    assert (await api.call("POST", f"{BASE}/{contact}/verify", token, json=body)).status == 200
    return contact


async def sent_test(api: Api, token: str, contact: str, channel: str = "sms") -> Reply:
    return await api.call("POST", f"{BASE}/{contact}/test", token, json={"channel": channel})


async def test_a_test_message_names_the_driver_and_has_no_alert_behind_it(api: Api) -> None:
    token = driver(api)
    await api.call("PUT", SAFETY, token, json={"name": "Ann Lee"})
    contact = await verified(api, token)
    assert (await sent_test(api, token, contact)).status == 202
    job = api.fakes.outboxes[Channel.SMS].sent[-1]
    assert job.attempt.purpose is Purpose.TEST
    assert job.alert.message == "Ann Lee"
    async with api.db.reader("t1") as connection:
        assert await connection.fetchval("SELECT count(*) FROM alert_attempts") == 0
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 0


async def test_only_an_address_that_counts_is_sent_a_test(api: Api) -> None:
    token = driver(api)
    contact = await verified(api, token)
    sent = len(api.fakes.outboxes[Channel.EMAIL].sent)
    assert (await sent_test(api, token, contact, "email")).code == "invalid", "not verified"
    bare = await made(api, token, "Bo")
    assert (await sent_test(api, token, bare)).code == "invalid", "no address"
    async with api.db.writer() as connection:
        await connection.execute(
            "INSERT INTO opt_outs (tenant_id, address_sha256) VALUES ('t1', address_sha256($1))", PHONE
        )
    before = len(api.fakes.outboxes[Channel.SMS].sent)
    assert (await sent_test(api, token, contact)).code == "invalid", "opted out"
    assert len(api.fakes.outboxes[Channel.SMS].sent) == before
    assert len(api.fakes.outboxes[Channel.EMAIL].sent) == sent


async def test_test_messages_are_limited_with_the_codes(api: Api) -> None:
    token = driver(api)
    contact = await verified(api, token)
    replies = [await sent_test(api, token, contact) for _ in range(4)]
    assert [reply.status for reply in replies] == [202, 202, 429, 429]
    assert replies[-1].code == "rate_limited"
    assert len(api.fakes.outboxes[Channel.SMS].sent) == 3


async def test_a_contact_that_is_not_theirs_gets_no_test_and_looks_like_none(api: Api) -> None:
    contact = await verified(api, driver(api))
    before = len(api.fakes.outboxes[Channel.SMS].sent)
    nothing = await sent_test(api, driver(api), "0199d2c8-0000-4000-8000-000000000009")
    for token in (driver(api, "d2"), driver(api, tenant="t2"), api.token("dispatcher", ["south"])):
        reply = await sent_test(api, token, contact)
        assert (reply.status, reply.json) == (404, nothing.json)
    assert len(api.fakes.outboxes[Channel.SMS].sent) == before


@pytest.mark.parametrize(
    ("outcome", "code"), [(Permanent("bad"), "invalid"), (Retryable("later"), "unavailable")]
)
async def test_a_test_that_no_provider_took_is_said_to_have_failed(api: Api, outcome: Any, code: str) -> None:
    token = driver(api)
    contact = await verified(api, token)
    api.fakes.outboxes[Channel.SMS].outcomes.extend([outcome] * 3)
    assert (await sent_test(api, token, contact)).code == code
