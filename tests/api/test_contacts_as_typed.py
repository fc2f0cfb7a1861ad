"""Contacts over HTTP as people type them: numbers, zones, codes, and the same request sent twice."""

import asyncio
from typing import Any

import pytest

from realtime.store.people import contacts, driver_settings
from realtime.store.people.driver_settings import Profile
from tests.api.harness import Api, running
from tests.api.test_contacts import BASE, code, driver, made, verify
from tests.store.people import put_driver


@pytest.fixture(autouse=True)
async def drivers(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")


async def post(api: Api, token: str = "", **fields: Any) -> Any:
    return await api.call("POST", BASE, token or api.token("admin"), json={"name": "Ana"} | fields)


# --- addresses


@pytest.mark.parametrize(
    ("field", "typed", "kept"),
    [
        ("phone", "\u202a+44\u00a020\u00a07946\u00a00958\u202c", "+442079460958"),
        ("phone", "００４４ ２０ ７９４６ ０９５８", "+442079460958"),
        ("phone", "+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "+442079460958"),
        ("phone", "+8816 2345 1234", "+881623451234"),
        ("phone", "+88239123456", "+88239123456"),
        ("phone", "+870 773 123 456", "+870773123456"),
        ("phone", "+52 1 55 1234 5678", "+525512345678"),
        ("email", " Ana.Perez@Example.ORG\u00a0", "ana.perez@example.org"),
        ("email", "mailto:ana@example.org", "ana@example.org"),
        ("email", "ana＠example.org", "ana@example.org"),
        ("email", "ana@example.org.", "ana@example.org"),
        ("email", "\u200eana@example.org\u200f", "ana@example.org"),
        ("email", "o’brien@example.org", "o'brien@example.org"),
        ("email", "ana@müller.example", "ana@xn--mller-kva.example"),
    ],
)
async def test_an_address_is_kept_as_it_is_meant(api: Api, field: str, typed: str, kept: str) -> None:
    assert (await made(api, **{field: typed}))[field]["address"] == kept


@pytest.mark.parametrize(
    ("field", "typed", "kept"),
    [
        ("name", "Ana\u00a0Pérez", "Ana Pérez"), ("name", "\u2068Ana\u2069", "Ana"),
        ("name", " Ana\n", "Ana"),
        ("name", "דנה\u200f", "דנה"), ("language", "DE", "de"), ("language", "pt_BR", "pt-BR"),
        ("time_zone", "europe/berlin", "Europe/Berlin"),
        ("time_zone", "America/New York", "America/New_York"),
    ],
)  # fmt: skip
async def test_a_field_is_kept_as_it_is_meant(api: Api, field: str, typed: str, kept: str) -> None:
    assert (await made(api, **({"name": "Ana"} | {field: typed})))[field] == kept


async def test_a_national_number_is_that_of_the_drivers_own_country(api: Api) -> None:
    assert (await post(api, driver(api), phone="07400 123456")).code == "invalid", "of which country?"
    await driver_settings.set_profile(api.db, "t1", "d1", Profile("Dee", "+447400123455"))
    reply = await post(api, driver(api), phone="07400 123456")
    assert reply.json["contact"]["phone"]["address"] == "+447400123456"
    where = f"{BASE}/{reply.json['contact']['contact_id']}"
    changed = await api.call("PATCH", where, driver(api), json={"phone": "(07400) 123457"})
    assert changed.json["contact"]["phone"]["address"] == "+447400123457"


async def test_a_national_number_is_that_of_the_only_country_or_the_emergency_number(
    database_url: str,
) -> None:
    for settings in ({"phone_countries": ("CH",)}, {"emergency_numbers": "t1=+41 44 668 18 00"}):
        async with running(database_url, **settings) as api:
            found = await made(api, name=str(settings), phone="044 668 18 00")
            assert found["phone"]["address"] == "+41446681800"


# --- zones


async def test_a_contact_without_a_zone_has_that_of_its_number(api: Api) -> None:
    one = await made(api, driver="d1", phone="+49 1511 2345678")
    assert one["time_zone"] == "Europe/Berlin"
    await code(api, one["contact_id"])
    await verify(api, one["contact_id"], api.fakes.code)
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert found.contacts[0].time_zone == "Europe/Berlin", "in what the alert takes along"
    where = f"{BASE}/{one['contact_id']}"
    moved = await api.call("PATCH", where, driver(api), json={"phone": "+81 90 1234 5678"})
    assert moved.json["contact"]["time_zone"] == "Asia/Tokyo", "it follows the number"
    chosen = await api.call("PATCH", where, driver(api), json={"time_zone": "Etc/UTC"})
    assert chosen.json["contact"]["time_zone"] == "Etc/UTC"


async def test_a_contact_with_a_zone_or_without_a_number_keeps_what_it_has(api: Api) -> None:
    assert (await made(api, name="a", phone="+4915112345678", time_zone="Asia/Tokyo"))[
        "time_zone"
    ] == "Asia/Tokyo"
    assert (await made(api, name="b", email="b@example.org"))["time_zone"] == "UTC"
    assert (await made(api, name="c", phone="+881612345678"))["time_zone"] == "UTC"


# --- codes


@pytest.mark.parametrize("form", ["{0}{1}", " {0} {1} ", "{0}-{1}", "\u200e{0}{1}\u200f", "{0}\u00a0{1}."])
async def test_a_code_is_taken_as_it_is_read_out(api: Api, form: str) -> None:
    one = await made(api, driver="d1", phone="+442079460958")
    await code(api, one["contact_id"])
    right = api.fakes.code
    wide = "".join(chr(ord("０") + int(digit)) for digit in right)
    arabic = "".join(chr(ord("٠") + int(digit)) for digit in right)
    for typed in (form.format(text[:3], text[3:]) for text in (wide, arabic)):
        reply = await verify(api, one["contact_id"], typed)
        if reply.status == 200:
            break
    assert reply.status == 200, "the first has used the code up"
    assert reply.json["contact"]["phone"]["counts"] is True


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345x", "½23456", "１２３", "1" * 101])
async def test_what_is_no_code_spends_no_try(api: Api, typed: str) -> None:
    one = await made(api, driver="d1", phone="+442079460958")
    await code(api, one["contact_id"])
    for _ in range(6):
        assert (await verify(api, one["contact_id"], typed)).code == "invalid"
    assert (await verify(api, one["contact_id"], api.fakes.code)).status == 200


# --- the same request twice

WHOLE = {
    "phone": "+44 20 7946 0958", "email": "ana@example.org", "language": "es", "time_zone": "Europe/London",
    "position": 3,
}  # fmt: skip


@pytest.mark.parametrize("scope", [{}, {"vendor": "north"}, {"driver": "d1"}])
async def test_the_same_request_twice_makes_one_contact(api: Api, scope: dict[str, str]) -> None:
    replies = [await post(api, **WHOLE, **scope) for _ in range(2)]
    replies += await asyncio.gather(*(post(api, **WHOLE, **scope) for _ in range(4)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["contact"]["contact_id"] for reply in replies}) == 1
    assert len((await api.get(BASE, api.token("admin"))).json["contacts"]) == 1


@pytest.mark.parametrize(
    "written",
    [
        {"phone": "+442079460958"}, {"phone": "0044 20 7946 0958"}, {"email": "Ana@Example.org"},
        {"name": " ana "}, {"name": "ANA"}, {"language": "ES"}, {"time_zone": "europe/london"},
        {"name": "Ａｎａ"},
    ],
)  # fmt: skip
async def test_the_same_contact_written_otherwise_is_the_same(api: Api, written: dict[str, str]) -> None:
    first = await post(api, **WHOLE)
    again = await post(api, **(WHOLE | written))
    assert again.json["contact"]["contact_id"] == first.json["contact"]["contact_id"]


@pytest.mark.parametrize(
    "other",
    [
        {"language": "de"}, {"position": 4}, {"email": None}, {"phone": "+44 20 7946 0959"},
        {"time_zone": "Europe/Berlin"}, {"webhook_url": "https://hooks.example/x"},
    ],
)  # fmt: skip
async def test_the_same_person_with_something_else_is_a_clear_conflict(
    api: Api, other: dict[str, Any]
) -> None:
    first = await post(api, **WHOLE)
    reply = await post(api, **(WHOLE | other))
    assert (reply.status, reply.code) == (409, "conflict")
    assert reply.json["error"]["contact_id"] == first.json["contact"]["contact_id"]
    assert "Ana" not in reply.json["error"]["message"]
    assert len((await api.get(BASE, api.token("admin"))).json["contacts"]) == 1


async def test_two_people_on_one_phone_are_two_contacts(api: Api) -> None:
    ids = {(await made(api, name=name, **WHOLE))["contact_id"] for name in ("Ana", "Ben")}
    assert len(ids) == 2


async def test_one_person_in_three_lists_is_a_contact_of_each(api: Api) -> None:
    scopes: tuple[dict[str, str], ...] = ({}, {"vendor": "north"}, {"driver": "d1"})
    assert len({(await made(api, **WHOLE, **scope))["contact_id"] for scope in scopes}) == 3


async def test_the_same_request_is_answered_when_the_list_is_full(api: Api) -> None:
    token = driver(api)
    for n in range(contacts.PER_DRIVER):
        assert (await post(api, token, name=f"c{n}")).status == 201
    assert (await post(api, token, name="c7")).status == 201
    assert (await post(api, token, name="one more")).code == "conflict"


# --- a number in two spellings


async def test_a_number_that_is_only_spelt_otherwise_stays_verified(api: Api) -> None:
    one = await made(api, driver="d1", phone="+54 11 2345 6789")
    await code(api, one["contact_id"])
    await verify(api, one["contact_id"], api.fakes.code)
    where = f"{BASE}/{one['contact_id']}"
    changed = await api.call("PATCH", where, driver(api), json={"phone": "+54 9 11 2345-6789"})
    assert changed.json["contact"]["phone"]["counts"] is True


@pytest.mark.parametrize(
    ("kept", "sender"),
    [
        ("+525512345678", "+5215512345678"), ("+5215512345678", "+525512345678"),
        ("+541123456789", "+5491123456789"), ("+5491123456789", "+541123456789"),
        ("+5511987654321", "+551187654321"), ("+2290197123456", "+22997123456"),
    ],
)  # fmt: skip
async def test_stop_and_start_count_in_every_spelling_of_the_number(api: Api, kept: str, sender: str) -> None:
    one = await made(api, driver="d1", email="ana@example.org")
    async with api.db.writer() as connection:  # as an earlier release may have kept it
        await connection.execute("UPDATE contacts SET phone = $1, phone_verified_ms = 1", kept)
    where = f"{BASE}/{one['contact_id']}"
    assert (await api.get(where)).json["contact"]["phone"]["counts"] is True
    assert await contacts.opt_out(api.db, sender) == 1
    assert await contacts.opt_out(api.db, kept) == 0, "again changes nothing"
    assert (await api.get(where)).json["contact"]["phone"]["counts"] is False
    assert await contacts.opt_in(api.db, sender) == 1
    assert (await api.get(where)).json["contact"]["phone"]["counts"] is True
    await contacts.opt_out(api.db, kept)
    assert await contacts.opt_in(api.db, sender) == 1
    assert (await api.get(where)).json["contact"]["phone"]["counts"] is True


async def test_a_code_that_is_typed_undoes_stop_in_every_spelling(api: Api) -> None:
    one = await made(api, driver="d1", phone="+52 55 1234 5678")
    await contacts.opt_out(api.db, "+5215512345678")
    await code(api, one["contact_id"])
    reply = await verify(api, one["contact_id"], api.fakes.code)
    assert reply.json["contact"]["phone"]["counts"] is True


# --- one phone in three lists


async def test_the_dry_run_says_one_message_to_a_phone_that_is_in_three_lists(api: Api) -> None:
    scopes: tuple[dict[str, str], ...] = ({"driver": "d1"}, {"vendor": "north"}, {})
    for name, scope in zip(("Ana", "ANA", "Ben"), scopes, strict=True):
        await made(api, name=name, phone="+442079460958", **scope)
        async with api.db.writer() as connection:
            await connection.execute("UPDATE contacts SET phone_verified_ms = 1")
    await made(api, name="Carl", phone="+442079460959")
    body = {"steps": [{"contacts": ["*"], "channels": ["sms"], "wait_s": 30, "fallback": ["call"]}]}
    await api.call("PUT", "/api/v1/policies/sos", api.token("admin"), json=body)
    found = (await api.get("/api/v1/drivers/d1/escalation")).json
    assert [(t["name"], t["channels"], t["fallback"]) for t in found["steps"][0]["told"]] == [
        ("Ana, Ben", ["sms"], ["call"])
    ]
    assert [one["name"] for one in found["untold"]] == ["Carl"]
