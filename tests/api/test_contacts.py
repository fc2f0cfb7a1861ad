"""Contacts over HTTP: who may see and change which, how addresses come to count, and what is refused."""

import asyncio
import uuid
from itertools import product
from typing import Any

import pytest

from alerts.attempt import Accepted, Channel, Permanent, Purpose, Retryable, Unsure
from realtime.contacts.verification import SLOTS
from realtime.store.people import contacts, verification_codes
from tests.api.harness import Api, Bounds, Reply
from tests.store.people import put_driver

BASE = "/api/v1/contacts"
PHONE = "+442079460958"
OTHER_PHONE = "+442079460959"


@pytest.fixture(autouse=True)
async def drivers(api: Api) -> None:
    for tenant, vendor, driver in (("t1", "north", "d1"), ("t1", "south", "d2"), ("t2", "north", "d1")):
        await put_driver(api.db, tenant, vendor, driver)


def driver(api: Api, name: str = "d1", vendor: str = "north") -> str:
    return api.token("driver", [vendor], driver=name)


async def made(api: Api, token: str | None = None, **fields: Any) -> dict[str, Any]:
    reply = await api.call("POST", BASE, token or api.token("admin"), json={"name": "Ana"} | fields)
    assert reply.status == 201, reply.body
    return dict(reply.json["contact"])


async def code(api: Api, contact_id: str, channel: str = "sms", token: str = "") -> Reply:
    return await api.call("POST", f"{BASE}/{contact_id}/codes", token, json={"channel": channel})


async def verify(api: Api, contact_id: str, typed: str, channel: str = "sms", token: str = "") -> Reply:
    body = {"channel": channel, "code": typed}
    return await api.call("POST", f"{BASE}/{contact_id}/verify", token, json=body)


def wrong(right: str) -> str:
    return f"{(int(right) + 1) % 1_000_000:06}"


# --- whose they are


async def test_who_may_see_change_and_verify_which_contact_role_by_role(api: Api) -> None:
    mine = {
        "driver": (await made(api, driver="d1"))["contact_id"],
        "vendor": (await made(api, vendor="north"))["contact_id"],
        "tenant": (await made(api))["contact_id"],
    }
    who = {
        "driver itself": (driver(api), {"driver"}),
        "another driver": (driver(api, "d9"), set()),
        "dispatcher": (api.token("dispatcher", ["north"]), {"driver", "vendor"}),
        "dispatcher of all": (api.token("dispatcher"), {"driver", "vendor"}),
        "dispatcher of another": (api.token("dispatcher", ["south"]), set()),
        "admin": (api.token("admin"), {"driver", "vendor", "tenant"}),
        "service": (api.token("service"), {"driver", "vendor", "tenant"}),
        "admin of a vendor": (api.token("admin", ["north"]), {"driver", "vendor"}),
        "admin of no vendor": (api.token("admin", []), set()),
        "another tenant's admin": (api.token("admin", tenant="t2"), set()),
        "another tenant's driver": (api.token("driver", ["north"], driver="d1", tenant="t2"), set()),
    }
    nobody = await api.get(f"{BASE}/{uuid.uuid4()}")
    assert nobody.status == 404
    for (name, (token, allowed)), (scope, contact_id) in product(who.items(), mine.items()):
        where = f"{BASE}/{contact_id}"
        replies = [
            await api.get(where, token),
            await api.call("PATCH", where, token, json={"position": 5}),
            await verify(api, contact_id, "000000", token=token),
        ]
        if scope in allowed:
            assert [reply.status for reply in replies] == [200, 200, 400], (name, scope)
        else:
            replies += [await code(api, contact_id, token=token), await api.call("DELETE", where, token)]
            assert all(reply.body == nobody.body for reply in replies), (name, scope, "looks like none")
    for name, (token, allowed) in who.items():
        listed = {one["contact_id"] for one in (await api.get(BASE, token)).json["contacts"]}
        assert listed == {mine[scope] for scope in allowed}, name


async def test_who_may_make_a_contact_of_which_scope(api: Api) -> None:
    dispatcher = api.token("dispatcher", ["north"])
    cases: list[tuple[str, dict[str, str], int]] = [
        (driver(api), {}, 201),
        (driver(api), {"driver": "d1", "vendor": "north"}, 201),
        (driver(api), {"driver": "d2"}, 404),
        (driver(api), {"vendor": "south"}, 404),
        (dispatcher, {}, 403),
        (dispatcher, {"vendor": "south"}, 403),
        (dispatcher, {"vendor": "north"}, 201),
        (dispatcher, {"driver": "d1"}, 201),
        (dispatcher, {"driver": "d2"}, 404),
        (dispatcher, {"driver": "unheard"}, 404),
        (dispatcher, {"driver": "new", "vendor": "north"}, 201),
        (dispatcher, {"driver": "newer", "vendor": "south"}, 404),
        (dispatcher, {"driver": "d1", "vendor": "south"}, 404),
        (api.token("admin", ["north"]), {}, 403),
        (api.token("admin"), {}, 201),
    ]
    for token, scope, status in cases:
        reply = await api.call("POST", BASE, token, json={"name": "Ana"} | scope)
        assert reply.status == status, (scope, reply.body)
    found = (await api.call("POST", BASE, driver(api), json={"name": "Ana"})).json["contact"]
    assert (found["driver"], found["vendor"]) == ("d1", "north"), "a driver's contact is the driver's own"


async def test_a_driver_who_moves_to_another_vendor_takes_the_contacts_along(api: Api) -> None:
    contact = await made(api, driver="d1")
    await put_driver(api.db, "t1", "south", "d1")
    assert (
        await api.get(f"{BASE}/{contact['contact_id']}", api.token("dispatcher", ["north"]))
    ).status == 404
    assert (
        await api.get(f"{BASE}/{contact['contact_id']}", api.token("dispatcher", ["south"]))
    ).status == 200


async def test_a_dispatcher_sees_the_addresses_of_a_drivers_contact_masked(api: Api) -> None:
    contact = await made(api, driver="d1", phone=PHONE, email="ana@example.org")
    seen = (await api.get(f"{BASE}/{contact['contact_id']}", api.token("dispatcher"))).json["contact"]
    assert (seen["phone"]["address"], seen["email"]["address"]) == ("+44•••58", "a•••@example.org")
    for token in (driver(api), api.token("admin")):
        whole = (await api.get(f"{BASE}/{contact['contact_id']}", token)).json["contact"]
        assert whole["phone"]["address"] == PHONE


async def test_a_driver_sets_neither_webhook_nor_subject_and_is_not_shown_its_secret(api: Api) -> None:
    for field in ({"webhook_url": "https://hooks.example/x"}, {"subject": "boss"}):
        reply = await api.call("POST", BASE, driver(api), json={"name": "Ana"} | field)
        assert (reply.status, reply.code) == (403, "forbidden")
    body = {"name": "Ana", "driver": "d1", "webhook_url": "https://hooks.example/x"}
    reply = await api.call("POST", BASE, api.token("admin"), json=body)
    assert reply.json["webhook_secret"].startswith("whsec_")
    seen = await api.get(f"{BASE}/{reply.json['contact']['contact_id']}", driver(api))
    assert seen.json["webhook_secret"] is None


async def test_pages_of_contacts_hold_each_once(api: Api) -> None:
    ids = {(await made(api, name=f"c{n}"))["contact_id"] for n in range(7)}
    seen, where = list[str](), f"{BASE}?limit=3"
    while True:
        page = (await api.get(where, api.token("admin"))).json
        seen += [one["contact_id"] for one in page["contacts"]]
        if page["next_cursor"] is None:
            break
        where = f"{BASE}?limit=3&cursor={page['next_cursor']}"
    assert (set(seen), len(seen)) == (ids, 7)
    assert (await api.get(f"{BASE}?cursor=nonsense", api.token("admin"))).code == "invalid"


# --- what is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("name", bad)
            for bad in ("", "   ", "a\r\nBcc: x@y.example", "a\0b", "\u202egnp", "x" * 81, "\u200d")
        ),
        *(
            ("phone", bad)
            for bad in ("0790000000", "+44 909 8790879", "+1", "x", "+449098790879", "+" + "1" * 40)
        ),
        *(
            ("email", bad)
            for bad in (
                "a",
                "a@b",
                "a b@c.example",
                "a@b.example\nBcc: c@d.example",
                "<a@b.example>",
                "a@-b.example",
                "a@127.0.0.1",
                '"a b"@c.example',
                "a..b@c.example",
                "ä@b.example",
                "a@b.example,c@d.example",
                "x" * 65 + "@b.example",
            )
        ),
        *(
            ("webhook_url", bad)
            for bad in (
                "http://a.example/",
                "https://127.0.0.1/",
                "https://10.0.0.1/",
                "https://[::1]/",
                "https://localhost/",
                "https://a.local/",
                "https://user:pw@a.example/",
                "https://a.example/#x",
                "https://2130706433/",
                "https://0x7f000001/",
                "https://0x7f.1/",
                "https://017700000001/",
                "https://127.1/",
                "https://[::ffff:127.0.0.1]/",
                "https://a.example\\@b/",
                "https://a b.example/",
                "ftp://a.example/",
                "https://metadata/",
                "https://169.254.169.254/",
                "https://x.internal./",
                "https:///a",
                "https://a.example:0/",
                "https://" + "a" * 1_000 + ".example/",
                "https://ⓛocalhost/",
            )
        ),
        ("language", "EN; DROP"),
        ("language", "x" * 40),
        ("time_zone", "Mars/Base"),
        ("time_zone", "../etc"),
        ("subject", "a\nb"),
        ("position", -1),
        ("position", 1_001),
    ],
)
async def test_what_is_no_address_or_name_is_refused(api: Api, field: str, value: Any) -> None:
    reply = await api.call("POST", BASE, api.token("admin"), json={"name": "Ana"} | {field: value})
    assert (reply.status, reply.code) == (400, "invalid"), reply.body
    assert field in reply.json["error"]["message"] or field == "position"
    contact = await made(api)
    where = f"{BASE}/{contact['contact_id']}"
    changed = await api.call("PATCH", where, api.token("admin"), json={field: value})
    assert (changed.status, changed.code) == (400, "invalid")


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("name", "  Ana  Pérez ", "Ana Pérez"),
        ("name", "'; DROP TABLE contacts; --", "'; DROP TABLE contacts; --"),
        ("name", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("name", "علی\u200cرضا", "علی\u200cرضا"),
        ("webhook_url", "https://hooks.example:8443/a?b=c", "https://hooks.example:8443/a?b=c"),
        ("webhook_url", "https://8.8.8.8/a", "https://8.8.8.8/a"),
        ("time_zone", "Asia/Kolkata", "Asia/Kolkata"),
    ],
)
async def test_what_looks_odd_and_is_fine_is_kept_as_it_is(
    api: Api, field: str, value: str, kept: str
) -> None:
    assert (await made(api, **({"name": "Ana"} | {field: value})))[field] == kept


async def test_a_thousand_contacts_are_too_many(api: Api) -> None:
    token = driver(api)
    replies = [await api.call("POST", BASE, token, json={"name": f"c{n}"}) for n in range(18)]
    replies += await asyncio.gather(
        *(api.call("POST", BASE, token, json={"name": f"more{n}"}) for n in range(30))
    )
    assert sum(reply.status == 201 for reply in replies) == contacts.PER_DRIVER, (
        "not one more by asking at once"
    )
    assert {reply.code for reply in replies if reply.status != 201} == {"conflict"}
    assert len((await api.get(f"{BASE}?limit=500", token)).json["contacts"]) == contacts.PER_DRIVER


async def test_countries_that_are_not_listed_are_refused(database_url: str) -> None:
    from tests.api.harness import running

    async with running(database_url, phone_countries=("CH",)) as api:
        reply = await api.call("POST", BASE, api.token("admin"), json={"name": "Ana", "phone": PHONE})
        assert reply.code == "invalid"
        assert PHONE not in reply.json["error"]["message"]
        assert (await made(api, phone="+41 44 668 18 00"))["phone"]["address"] == "+41446681800"


# --- verification


async def test_the_right_code_verifies_and_the_message_has_no_alert_in_it(api: Api) -> None:
    contact = await made(api, driver="d1", phone=PHONE)
    assert not contact["phone"]["counts"]
    assert (await code(api, contact["contact_id"])).status == 202
    (job,) = api.fakes.outboxes[Channel.SMS].sent
    assert (job.attempt.purpose, job.contact.phone, job.alert.place) == (Purpose.CODE, PHONE, None)
    reply = await verify(api, contact["contact_id"], api.fakes.code)
    assert reply.json["contact"]["phone"]["counts"] is True
    again = await verify(api, contact["contact_id"], api.fakes.code)
    assert again.code == "invalid", "a code is good once"
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert found.contacts[0].phone == PHONE


async def test_each_channel_verifies_its_own_address(api: Api) -> None:
    contact = await made(api, phone=PHONE, email="a@b.example")
    await code(api, contact["contact_id"], "email", api.token("admin"))
    typed = api.fakes.outboxes[Channel.EMAIL].sent[-1].alert.message
    for other in ("sms", "call"):
        reply = await verify(api, contact["contact_id"], typed, other, api.token("admin"))
        assert reply.code == "invalid"
    reply = await verify(api, contact["contact_id"], typed, "email", api.token("admin"))
    assert (reply.json["contact"]["email"]["counts"], reply.json["contact"]["phone"]["counts"]) == (
        True,
        False,
    )


async def test_an_address_that_changes_loses_its_verification_and_its_code(api: Api) -> None:
    contact = await made(api, driver="d1", phone=PHONE)
    where, token = f"{BASE}/{contact['contact_id']}", driver(api)
    await code(api, contact["contact_id"])
    await verify(api, contact["contact_id"], api.fakes.code)
    same = await api.call("PATCH", where, token, json={"phone": PHONE, "name": "Ana B"})
    assert same.json["contact"]["phone"]["counts"] is True
    await code(api, contact["contact_id"])
    other = await api.call("PATCH", where, token, json={"phone": OTHER_PHONE})
    assert other.json["contact"]["phone"]["counts"] is False
    assert (await verify(api, contact["contact_id"], api.fakes.code)).code == "invalid", (
        "it went to another number"
    )
    gone = await api.call("PATCH", where, token, json={"phone": None})
    assert gone.json["contact"]["phone"] is None


async def test_a_code_is_not_found_by_trying(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    await code(api, contact["contact_id"])
    right = api.fakes.code
    tries = await asyncio.gather(*(verify(api, contact["contact_id"], wrong(right)) for _ in range(12)))
    assert {reply.code for reply in tries} == {"invalid"}
    waiting = [reply for reply in tries if "is wrong" in reply.json["error"]["message"]]
    assert len(waiting) == verification_codes.MAX_TRIES - 1, "the fifth wrong one voids it"
    assert (await verify(api, contact["contact_id"], right)).code == "invalid"


async def test_a_code_ages_and_a_new_one_voids_the_last(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    await code(api, contact["contact_id"])
    first = api.fakes.code
    await code(api, contact["contact_id"])
    if first != api.fakes.code:
        assert (await verify(api, contact["contact_id"], first)).code == "invalid"
    async with api.db.writer() as connection:
        await connection.execute("UPDATE contact_codes SET expires_ms = now_ms() - 1")
    assert (await verify(api, contact["contact_id"], api.fakes.code)).code == "invalid"


async def test_only_a_keyed_digest_of_the_code_is_kept(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    await code(api, contact["contact_id"])
    async with api.db.writer() as connection:
        kept = await connection.fetchval("SELECT code_sha256 FROM contact_codes")
    import hashlib

    assert len(kept) == 32
    assert kept != hashlib.sha256(api.fakes.code.encode()).digest()


async def test_nobody_is_bombed_with_codes(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    replies = await asyncio.gather(*(code(api, contact["contact_id"]) for _ in range(4)))
    replies += [await code(api, contact["contact_id"], channel) for channel in ("sms", "call", "sms", "call")]
    assert (
        len(api.fakes.outboxes[Channel.SMS].sent + api.fakes.outboxes[Channel.CALL].sent)
        == verification_codes.ADDRESS_SHORT
    )
    assert {reply.status for reply in replies} <= {202, 429, 503}
    assert replies[-1].code == "rate_limited"
    assert float(replies[-1].headers["Retry-After"]) > 0
    other = await made(api, phone=PHONE, vendor="north", name="the same number again")
    assert (await code(api, other["contact_id"])).code == "rate_limited", "the number counts, not the contact"


async def test_many_tenants_together_do_not_bomb_a_number_and_learn_nothing_of_each_other(api: Api) -> None:
    sent = api.fakes.outboxes[Channel.SMS].sent
    for n in range(5):
        token = api.token("admin", tenant=f"t{n + 10}")
        reply = await api.call("POST", BASE, token, json={"name": "Ana", "phone": PHONE})
        for _ in range(verification_codes.ADDRESS_SHORT):
            answer = await code(api, reply.json["contact"]["contact_id"], token=token)
            assert answer.status == 202, "each tenant sees its own limit alone"
    assert len(sent) == verification_codes.ADDRESS_EVERYWHERE


@pytest.mark.parametrize(
    "bounds", [Bounds(codes=verification_codes.CodeBudget(per_tenant_hour=2))], ids=["two"]
)
async def test_a_tenant_has_a_budget_of_codes(api: Api) -> None:
    token = api.token("admin")
    made_up = [await made(api, phone=f"+4420794609{n}") for n in (50, 51, 52)]
    replies = [await code(api, one["contact_id"], token=token) for one in made_up]
    assert [reply.status for reply in replies] == [202, 202, 429]
    other = api.token("admin", tenant="t2")
    reply = await api.call("POST", BASE, other, json={"name": "Ana", "phone": "+442079460952"})
    assert (await code(api, reply.json["contact"]["contact_id"], token=other)).status == 202


@pytest.mark.parametrize(
    ("outcomes", "status", "sends"),
    [
        ([Retryable("busy"), Accepted("id", "queued")], 202, 2),
        ([Retryable("busy"), Retryable("busy"), Retryable("busy"), Accepted("id", "queued")], 503, 3),
        ([Retryable("busy", retry_after_s=60.0)], 503, 1),
        ([Permanent("landline")], 400, 1),
        ([Unsure("reply lost")], 202, 1),
    ],
)
async def test_a_provider_that_fails_is_asked_a_few_times_and_no_more(
    api: Api, outcomes: list[Any], status: int, sends: int
) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    api.fakes.outboxes[Channel.SMS].outcomes.extend(outcomes)
    assert (await code(api, contact["contact_id"])).status == status
    assert len(api.fakes.outboxes[Channel.SMS].sent) == sends


async def test_a_contact_without_the_address_gets_no_code(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    assert (await code(api, contact["contact_id"], "email")).code == "invalid"
    assert (await code(api, contact["contact_id"], "push")).code == "invalid"


# --- opting out


async def test_stop_is_honoured_shown_and_undone_by_start(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    await code(api, contact["contact_id"])
    await verify(api, contact["contact_id"], api.fakes.code)
    assert await contacts.opt_out(api.db, PHONE) == 1
    assert await contacts.opt_out(api.db, PHONE) == 0, "again changes nothing"
    seen = (await api.get(f"{BASE}/{contact['contact_id']}")).json["contact"]["phone"]
    assert (seen["counts"], seen["opted_out_at"] is None) == (False, False)
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert [one.contact_id for one in found.contacts] == ["dispatch"]
    await contacts.opt_in(api.db, PHONE)
    seen = (await api.get(f"{BASE}/{contact['contact_id']}")).json["contact"]["phone"]
    assert seen["counts"] is True


async def test_stop_outlives_the_contact_and_another_verification_undoes_it(api: Api) -> None:
    contact = await made(api, phone=PHONE, driver="d1")
    await code(api, contact["contact_id"])
    await contacts.opt_out(api.db, PHONE)
    await api.call("DELETE", f"{BASE}/{contact['contact_id']}")
    anew = await made(api, phone=PHONE, driver="d1")
    assert anew["phone"]["opted_out_at"] is not None
    assert (await code(api, anew["contact_id"])).code == "rate_limited", "one a day to who said STOP"
    async with api.db.writer() as connection:
        await connection.execute("UPDATE code_sends SET sent_ms = sent_ms - 86400000")
    assert (await code(api, anew["contact_id"])).status == 202
    reply = await verify(api, anew["contact_id"], api.fakes.code)
    assert reply.json["contact"]["phone"]["counts"] is True


async def test_stop_reaches_every_tenant_that_has_the_number_and_no_other(api: Api) -> None:
    await made(api, phone=PHONE)
    await api.call("POST", BASE, api.token("admin", tenant="t2"), json={"name": "B", "phone": PHONE})
    await api.call("POST", BASE, api.token("admin", tenant="t3"), json={"name": "B", "phone": OTHER_PHONE})
    assert await contacts.opt_out(api.db, PHONE) == 2


async def test_with_no_way_out_codes_are_refused_as_away(database_url: str) -> None:
    from tests.api.harness import running

    async with running(database_url) as api:
        api.fakes.outboxes.clear()
        contact = await made(api, phone=PHONE)
        reply = await code(api, contact["contact_id"], token=api.token("admin"))
        assert (reply.status, reply.code) == (503, "unavailable")


async def test_codes_on_their_way_are_few_so_that_they_are_in_nobodys_way(api: Api) -> None:

    api.fakes.outboxes[Channel.SMS].hangs = True
    several = [await made(api, phone=f"+4420794609{n}") for n in range(50, 50 + SLOTS + 1)]
    token = api.token("admin")
    waiting = [asyncio.create_task(code(api, one["contact_id"], token=token)) for one in several[:-1]]
    while len(api.fakes.outboxes[Channel.SMS].sent) < SLOTS:
        await asyncio.sleep(0.01)
    assert (await code(api, several[-1]["contact_id"], token=token)).code == "overloaded"
    for reply in await asyncio.gather(*waiting):
        assert reply.status == 202, "it may have gone out"
