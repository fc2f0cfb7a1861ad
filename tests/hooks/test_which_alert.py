"""Which alert an answer by text is about, when a number was told of several; words that opt out and in."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.alert import State
from realtime.hooks.words import TEXTS
from realtime.store.db.database import Database
from tests.hooks.conftest import PHONE, World
from tests.hooks.test_hooks import post, signed


async def told(world: World, *drivers: str, drill: bool = False) -> list[UUID]:
    """Alerts of these drivers, each of which Ann has a text of, one after the other."""
    found = []
    for driver in drivers:
        alert_id = await world.sos(driver, drill=drill)
        await world.text_of(alert_id)
        found.append(alert_id)
    return found


async def states(world: World, *alerts: UUID) -> list[State]:
    return [(await world.alert(alert_id)).state for alert_id in alerts]


async def heard(world: World, sender: str, text: str) -> None:
    """A text that is sent again, as providers do, until it is taken: a busy Postgres may refuse it once."""
    message_id = f"SM{uuid4().hex}"
    async with asyncio.timeout(20):
        while not await world.twilio.reply(sender, text, message_id):
            await asyncio.sleep(0.2)


async def opted_out(db: Database) -> int:
    async with db.writer() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM opt_outs"))


async def replied(world: World, text: str, **more: str) -> int:
    """A text comes in with ``more`` fields of the provider; the status of the answer."""
    url = f"{world.url}/hooks/twilio/sms"
    form = {
        "AccountSid": world.twilio.account_sid, "From": PHONE, "Body": text,
        "MessageSid": world.twilio._sid("SM"),
    } | more  # fmt: skip
    return await post(world, url, form, signed(world, url, form))


# --- two alerts


async def test_one_for_two_alerts_is_never_twice_the_same(world: World) -> None:
    first, second = await told(world, "d1", "d2")
    [said] = await world.twilio.reply(PHONE, "1")
    assert await states(world, first, second) == [State.ACTIVE, State.ACKNOWLEDGED], "the last one told"
    assert "on it for d2 (SOS, " in said and "d1 (SOS, " in said.split("d2")[1], said
    [said] = await world.twilio.reply(PHONE, "1")
    assert await states(world, first, second) == [State.ACKNOWLEDGED, State.ACKNOWLEDGED]
    assert "on it for d1" in said and "d2" not in said
    versions = [(await world.alert(one)).version for one in (first, second)]
    [said] = await world.twilio.reply(PHONE, "1")
    assert [(await world.alert(one)).version for one in (first, second)] == versions, "a sign of life"


async def test_two_replies_at_once_are_for_two_alerts(world: World) -> None:
    alerts = await told(world, "d1", "d2", "d3")
    await asyncio.gather(*(world.twilio.reply(PHONE, text) for text in ("1", "１", "yes")))
    assert await states(world, *alerts) == [State.ACKNOWLEDGED] * 3


async def test_a_real_alert_goes_before_a_drill_that_came_later(world: World) -> None:
    [real] = await told(world, "d1")
    [drill] = await told(world, "d2", drill=True)
    [said] = await world.twilio.reply(PHONE, "1")
    assert await states(world, real, drill) == [State.ACKNOWLEDGED, State.ACTIVE] and "for d1 (" in said
    [said] = await world.twilio.reply(PHONE, "1")
    assert await states(world, real, drill) == [State.ACKNOWLEDGED] * 2
    assert "d2 (DRILL" in said


async def test_a_drill_alone_is_said_to_be_one(world: World) -> None:
    await told(world, "d1", drill=True)
    assert await world.twilio.reply(PHONE, "1") == ["Thank you. You are on it for d1 (DRILL)."]


async def test_a_drill_and_an_alert_of_one_driver_are_two(world: World) -> None:
    [drill] = await told(world, "d1", drill=True)
    [real] = await told(world, "d1")
    await world.twilio.reply(PHONE, "1")
    assert await states(world, real, drill) == [State.ACKNOWLEDGED, State.ACTIVE]


async def test_an_alert_that_another_is_on_comes_after_one_that_nobody_is_on(world: World) -> None:
    async with world.db.writer() as connection:
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, name, phone, phone_verified_ms, created_by) "
            "VALUES (gen_random_uuid(), 't1', 'Ben', '+4915112345679', 1, 'test')"
        )
    first, second = [await world.sos(driver) for driver in ("d1", "d2")]
    while len([m for m in world.twilio.messages if m.status == "delivered"]) < 4:
        await asyncio.sleep(0.02)
    await world.twilio.reply("+4915112345679", "1")
    taken = [one for one in (first, second) if (await world.alert(one)).state is State.ACKNOWLEDGED]
    await world.twilio.reply(PHONE, "1")
    assert await states(world, first, second) == [State.ACKNOWLEDGED] * 2, "the other one"
    await world.twilio.reply(PHONE, "1")
    assert len((await world.alert(taken[0])).responders) == 1, "then they come along with Ben"


async def test_two_is_about_the_alert_that_they_are_on(world: World) -> None:
    first, second = await told(world, "d1", "d2")
    await world.twilio.reply(PHONE, "1")
    third = (await told(world, "d3"))[0]
    await world.twilio.reply(PHONE, "2")
    assert await states(world, first, second, third) == [State.ACTIVE, State.CANCELLED, State.ACTIVE]
    [said] = await world.twilio.reply(PHONE, "2")
    assert "answer 1" in said and await states(world, first, third) == [State.ACTIVE] * 2


async def test_a_note_is_about_the_real_alert_that_was_told_last_and_says_so(world: World) -> None:
    [first] = await told(world, "d1")
    [second] = await told(world, "d2")
    await told(world, "d3", drill=True)
    [said] = await world.twilio.reply(PHONE, "who is this?")
    notes = [line for line in (await world.explained(second)).audit if line.what == "noted"]
    assert len(notes) == 1 and "d2 (SOS, " in said
    assert not [line for line in (await world.explained(first)).audit if line.what == "noted"]


@pytest.mark.parametrize(("kept", "sender"), [
    ("+525512345678", "+5215512345678"), ("+5215512345678", "+525512345678"),
    ("+5491112345678", "+541112345678"), ("+541112345678", "+5491112345678"),
    ("+5511987654321", "+551187654321"), ("+2290197123456", "+22997123456"),
])  # fmt: skip
async def test_one_and_stop_count_from_every_spelling_of_the_number(
    world: World, kept: str, sender: str
) -> None:
    async with world.db.writer() as connection:
        await connection.execute("UPDATE contacts SET phone = $1", kept)
    [alert_id] = await told(world, "d1")
    await heard(world, sender, "1")
    assert await states(world, alert_id) == [State.ACKNOWLEDGED]
    assert await world.twilio.reply(sender, "STOP") == []
    assert await opted_out(world.db) == 2, "in each of its spellings"
    await world.twilio.reply(sender, "START")
    assert await opted_out(world.db) == 0


# --- the words of the carriers


@pytest.mark.parametrize(
    ("text", "is_carriers"),
    [
        *((text, True) for text in ("REVOKE", "OPTOUT", "Stop ")),
        *((text, False) for text in ("opt out", "Opt-Out.", "ｓｔｏｐ", "STOP\u200e", "please stop", "baja")),
    ],
)
async def test_words_that_opt_out_acknowledge_nothing_and_are_confirmed_once(
    world: World, text: str, is_carriers: bool
) -> None:
    [alert_id] = await told(world, "d1")
    assert await world.twilio.reply(PHONE, text) == ([] if is_carriers else [TEXTS["en"]["stopped"]])
    assert await opted_out(world.db) == 1
    assert await states(world, alert_id) == [State.ACTIVE]


@pytest.mark.parametrize("text", ["STOP", "1", "yes", "my own word", "ARRET", "", "2", "START"])
async def test_what_the_provider_took_for_stop_is_one(world: World, text: str) -> None:
    [alert_id] = await told(world, "d1")
    assert await replied(world, text, OptOutType="STOP") == 200
    assert await opted_out(world.db) == 1
    assert await states(world, alert_id) == [State.ACTIVE]


@pytest.mark.parametrize("more", [{}, {"OptOutType": "START"}])
@pytest.mark.parametrize("text", ["START", "Unstop", "start."])
async def test_start_opts_in_again_and_acknowledges_nothing(world: World, text: str, more: Any) -> None:
    [alert_id] = await told(world, "d1")
    await world.twilio.reply(PHONE, "STOP")
    await replied(world, text, **more)
    assert await opted_out(world.db) == 0
    assert await states(world, alert_id) == [State.ACTIVE]


async def test_yes_that_the_provider_took_for_start_opts_in_and_from_who_was_not_out_it_is_an_answer(
    world: World,
) -> None:
    [alert_id] = await told(world, "d1")
    await world.twilio.reply(PHONE, "STOP")
    await replied(world, "YES", OptOutType="START")
    assert await opted_out(world.db) == 0
    assert await states(world, alert_id) == [State.ACTIVE]
    await replied(world, "YES", OptOutType="START")
    assert await states(world, alert_id) == [State.ACKNOWLEDGED]


async def test_a_stop_said_again_later_does_not_undo_a_start(world: World) -> None:
    await told(world, "d1")
    sid = "SM" + "7" * 32
    await replied(world, "STOP", MessageSid=sid)
    await replied(world, "START")
    await replied(world, "STOP", MessageSid=sid)
    assert await opted_out(world.db) == 0


async def test_stop_is_noted_in_every_alert_that_the_number_was_told_of(world: World) -> None:
    alerts = await told(world, "d1", "d2")
    await world.twilio.reply(PHONE, "STOP")
    for alert_id in alerts:
        assert [line for line in (await world.explained(alert_id)).audit if line.what == "noted"]
