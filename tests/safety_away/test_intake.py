"""An SOS with Postgres away: kept by the journal, answered as such, one alert in the end."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Acknowledged, Noted, Place, State
from alerts.attempt import Status, StatusReport
from alerts.ports import StorageFailure
from alerts.press_ids import companion_press
from geo.position import Point
from realtime.alerting.repository import IntakeTimes
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.journeys import journeys, upkeep
from tests.alerts.ledger_contract import CIRCUMSTANCES
from tests.safety_away.fakes import Kept, now_ms
from tests.safety_away.process import OLGA, PHONE, Bounds, Process, settled
from tests.store.conftest import put
from tests.store.people import put_driver


async def test_with_postgres_up_a_press_is_committed_and_the_journal_stays_empty(process: Process) -> None:
    taken = await process.intake.press(process.press())
    assert (taken.durability, process.journal.kept) == ("committed", {})
    assert process.told == [taken.alert]


async def on_the_way(process: Process, driver: str) -> UUID:
    """``driver`` is on a journey, last seen at 54.0, 10.0."""
    await upkeep.run_once(Settings(database_url=process.line.url), now_ms())  # type: ignore[arg-type]
    await put_driver(process.db, "t1", "north", driver)
    head = await journeys.start(
        process.db, "t1", "north", driver, uuid4(), now_ms(), None, None, None, now_ms()
    )
    points = [Point(seq, now_ms() - 9_000 + seq, 50.0 + seq, 10.0) for seq in range(1, 5)]
    await put(process.db, "t1", head.journey_id, points)
    return head.journey_id


async def test_who_says_nothing_but_sos_is_looked_for_where_they_were_last_seen(process: Process) -> None:
    journey_id = await on_the_way(process, "d1")
    alert = (await process.intake.press(process.press(place=None))).alert
    assert alert.journey_id == journey_id
    assert alert.place is not None
    assert (alert.place.lat, alert.place.lon) == (54.0, 10.0)
    assert alert.place.t_ms is not None, "how old that is is said"
    (stored,) = await process.stored()
    assert (stored.journey_id, stored.place) == (alert.journey_id, alert.place)


async def test_what_the_phone_says_of_the_place_counts_and_of_anothers_journey_does_not(
    process: Process,
) -> None:
    await on_the_way(process, "d1")
    theirs = await on_the_way(process, "d2")
    said = Place(1.0, 2.0, 5.0, now_ms())
    alert = (await process.intake.press(process.press(place=said))).alert
    assert alert.place == replace(said, source="press")
    named = process.press(driver="d3", place=None, journey_id=theirs)
    alert = (await process.intake.press(named)).alert
    assert (alert.place, alert.journey_id) == (None, None)


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=10.0, locate_s=0.1))], ids=["impatient"])
async def test_a_press_is_stored_while_the_table_of_points_is_locked(
    process: Process, database_url: str
) -> None:
    await on_the_way(process, "d1")
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("LOCK TABLE journey_points IN ACCESS EXCLUSIVE MODE")
        taken = await process.intake.press(process.press(place=None))
    await other.close()
    assert (taken.durability, taken.alert.place) == ("committed", None)
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    assert PHONE in [contact.phone for contact in case.copy.contacts]
    assert case.copy.is_complete, "the contacts are those of postgres all the same"


@pytest.mark.parametrize(("redis_away", "durability"), [(False, "replicated"), (True, "local")])
async def test_with_postgres_away_the_journal_takes_it_and_postgres_gets_it_once(
    process: Process, redis_away: bool, durability: str
) -> None:
    process.line.cut()
    process.others.away = redis_away
    press = process.press()
    taken = await process.intake.press(press)
    assert (taken.durability, taken.created) == (durability, True)
    assert process.told == [taken.alert]
    contacts = process.journal.kept[taken.alert.alert_id].case.copy.contacts
    assert PHONE in [contact.phone for contact in contacts], "from the local copy"
    again = await process.intake.press(press)
    assert (again.alert.alert_id, again.created) == (taken.alert.alert_id, False)
    assert await process.back() == 1
    assert process.journal.kept == {} and process.others.shared == {}
    (stored,) = await process.stored()
    assert stored.alert_id == taken.alert.alert_id
    later = await process.intake.press(press)
    assert (later.alert.alert_id, later.created, later.durability) == (stored.alert_id, False, "committed")
    assert await process.importer.round() == 0


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.3, unsure_s=2.0))], ids=["unsure"])
async def test_a_press_that_postgres_may_have_is_acted_on_once_the_import_has_not_found_it(
    process: Process,
) -> None:
    process.line.hang()
    first = await process.intake.press(process.press())
    second = await process.intake.press(process.press(driver="d2"))
    assert process.others.turns == [], "they may be in postgres, whose workers tell"

    async def acted_on() -> bool:
        return set(process.others.turns) == {first.alert.alert_id, second.alert.alert_id}

    assert await settled(acted_on)
    third = await process.intake.press(process.press(driver="d3"))
    assert process.others.turns[-1] == third.alert.alert_id, "postgres has been away for long"


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.3, unsure_s=2.0))], ids=["unsure"])
async def test_a_press_that_was_brought_in_meanwhile_is_not_acted_on_from_the_journal(
    process: Process,
) -> None:
    process.line.hang()
    await process.intake.press(process.press())
    assert await process.back() == 1
    await lost_for(process, 2.2)
    assert process.others.turns == []


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.5, locate_s=0.3))], ids=["impatient"])
async def test_a_press_that_hangs_in_postgres_and_arrives_there_later_is_one_alert(process: Process) -> None:
    assert await process.db.ping(), "a connection is open"
    process.line.hang()
    press = process.press()
    taken = await process.intake.press(press)
    assert taken.durability == "replicated"
    assert await process.back() == 1
    assert await settled(lambda: process.ledger.find("t1", "d1", press.sos_id))
    (stored,) = await process.stored()
    assert stored.alert_id == taken.alert.alert_id
    story = await reads.explain(process.db, "t1", stored.alert_id)
    assert story is not None
    assert len({attempt.attempt_id for attempt in story.attempts}) == len(story.attempts)


async def test_answers_are_taken_while_it_is_away_and_are_in_postgres_afterwards(process: Process) -> None:
    process.line.cut()
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    applied = await process.intake.apply("t1", alert_id, Acknowledged(OLGA, "page"))
    assert applied is not None and applied.alert.state is State.ACKNOWLEDGED
    assert process.others.shared[alert_id].case.alert == applied.alert, "the others see it"
    case = await process.intake.case(alert_id)
    assert case is not None and case.alert == applied.alert
    await process.back()
    (stored,) = await process.stored()
    assert (stored.state, stored.acknowledged_by) == (State.ACKNOWLEDGED, OLGA)
    story = await reads.explain(process.db, "t1", alert_id)
    assert story is not None
    assert {"raised", "acknowledged"} <= {line.what for line in story.audit}


async def test_an_answer_to_an_alert_of_another_process_goes_into_a_copy_of_it(process: Process) -> None:
    taken = await process.ledger.press(process.press(), process.directory.of("t1", "north", "d1"))
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    alert_id = taken.alert.alert_id
    process.line.cut()
    with pytest.raises(Refused) as unknown:
        await process.intake.apply("t1", alert_id, Noted(OLGA, "hello"))
    assert unknown.value.code is Code.UNAVAILABLE
    process.others.shown[alert_id] = Kept(case)
    applied = await process.intake.apply("t1", alert_id, Acknowledged(OLGA, "page"))
    assert applied is not None and applied.refused is None
    await process.back()
    (stored,) = await process.stored()
    assert stored.state is State.ACKNOWLEDGED


async def test_nobody_reaches_an_alert_of_another_tenant(process: Process) -> None:
    process.line.cut()
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    for shown in ({}, dict(process.journal.kept)):
        process.others.shown = shown
        for ask in (
            process.intake.get("t2", alert_id),
            process.intake.apply("t2", alert_id, Acknowledged(OLGA, "page")),
        ):
            with pytest.raises(Refused) as refused:
                await ask
            assert refused.value.code is Code.UNAVAILABLE
        process.journal.kept = {}
    assert process.told == [taken.alert]


async def test_an_alert_that_nobody_has_is_none_when_postgres_says_so_and_unavailable_otherwise(
    process: Process,
) -> None:
    alert_id, sos_id = uuid4(), uuid4()
    assert await process.intake.get("t1", alert_id) is None
    assert await process.intake.find("t1", "d1", sos_id) is None
    assert await process.intake.case(alert_id) is None
    assert await process.intake.apply("t1", alert_id, Noted(OLGA, "x")) is None
    process.line.cut()
    for ask in (
        process.intake.get("t1", alert_id),
        process.intake.find("t1", "d1", sos_id),
        process.intake.case(alert_id),
    ):
        with pytest.raises(Refused) as refused:
            await ask
        assert refused.value.code is Code.UNAVAILABLE


async def test_what_is_known_of_a_driver_is_the_same_with_postgres_away(process: Process) -> None:
    before = await process.intake.circumstances("t1", "north", "d1")
    process.line.cut()
    copied = await process.intake.circumstances("t1", "north", "d1")
    assert replace(copied, source=before.source, age_ms=None) == before


async def test_a_full_journal_is_no_matter_while_postgres_is_there_and_said_when_not(
    process: Process,
) -> None:
    process.journal.is_full = True
    assert (await process.intake.press(process.press())).durability == "committed"
    process.line.cut()
    with pytest.raises(Refused) as refused:
        await process.intake.press(process.press())
    assert refused.value.code is Code.UNAVAILABLE


async def test_providers_words_move_what_is_here_and_wait_for_what_is_not(process: Process) -> None:
    process.line.cut()
    taken = await process.intake.press(process.press())
    process.journal.sent("SM1")
    known = StatusReport("twilio", "SM1", Status.DELIVERED, "delivered")
    assert await process.intake.report(known)
    unknown = StatusReport("twilio", "SM2", Status.DELIVERED, "delivered")
    assert not await process.intake.report(unknown)
    assert process.journal.reports == [unknown]
    [asked] = await process.book.last_asked(PHONE)
    assert asked.alert_id == taken.alert.alert_id
    await process.intake.answered(asked.attempt_id)
    await process.back()
    assert process.journal.reports == []
    story = await reads.explain(process.db, "t1", taken.alert.alert_id)
    assert story is not None
    statuses = {attempt.provider_id: attempt.status for attempt in story.attempts}
    assert statuses["SM1"] is Status.ANSWERED


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=10.0, unsure_s=1.0))], ids=["unsure"])
async def test_a_press_that_postgres_may_have_as_well_is_doubted_and_one_of_a_long_absence_is_not(
    process: Process,
) -> None:
    process.line.cut()
    unsure = await process.intake.press(process.press())
    assert process.journal.doubted == [unsure.alert.alert_id]
    await lost_for(process, 1.0)
    await process.intake.press(process.press(driver="d2"))
    assert process.journal.doubted == [unsure.alert.alert_id]


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=10.0, unsure_s=2.0))], ids=["unsure"])
async def test_a_press_waits_a_little_longer_for_its_import_when_postgres_is_back(process: Process) -> None:
    process.line.cut()
    taken = await process.intake.press(process.press())
    process.line.mend()
    assert await settled(process.reach.probe)
    await lost_for(process, 2.2)
    assert process.others.turns == [], "it would be imported at any moment"
    process.line.cut()
    with pytest.raises(StorageFailure):
        await process.reach.ask(process.ledger.anything_due, 1.0)
    assert await settled(turned(process)), "nobody imports it now"
    assert process.others.turns == [taken.alert.alert_id]


async def lost_for(process: Process, seconds: float) -> None:
    """Wait until Postgres was found to be unavailable more than ``seconds`` ago."""
    while process.reach.lost_for_s <= seconds:
        await asyncio.sleep(0.05)


def turned(process: Process) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(process.others.turns)

    return look


@pytest.mark.parametrize(
    ("noted", "vendor"), [((), "south"), (("token_expired",), "north"), (("kind",), "south")]
)
async def test_a_press_by_an_old_token_is_the_vendors_that_the_driver_drives_for_now(
    process: Process, noted: tuple[str, ...], vendor: str
) -> None:
    """Whom they drove for when the token was made is told nothing, nor sees where they are."""
    taken = await process.intake.press(process.press(vendor="south", noted=noted))
    assert taken.alert.vendor == vendor
    (stored,) = await process.stored()
    assert stored.vendor == vendor


@pytest.mark.parametrize("has_postgres", [True, False], ids=["postgres", "journal"])
@pytest.mark.parametrize("drill", [True, False], ids=["a drill first", "an sos first"])
async def test_an_id_of_a_drill_does_not_stand_for_an_sos(
    process: Process, has_postgres: bool, drill: bool
) -> None:
    """A console that lost the answer to a drill sent an SOS with the same id, and was answered ok."""
    if not has_postgres:
        process.line.cut()
    first = await process.intake.press(process.press(drill=drill))
    other = replace(process.press(drill=not drill), sos_id=first.alert.sos_id)
    taken = await process.intake.press(other)
    again = await process.intake.press(other)
    assert (first.alert.drill, taken.alert.drill) == (drill, not drill)
    assert taken.created and taken.alert.alert_id != first.alert.alert_id
    assert again.alert.alert_id == taken.alert.alert_id


@pytest.mark.parametrize("has_postgres", [True, False], ids=["postgres", "journal"])
@pytest.mark.parametrize("drill", [True, False], ids=["a drill first", "an sos first"])
async def test_an_id_of_a_drill_and_an_sos_finds_the_sos(
    process: Process, has_postgres: bool, drill: bool
) -> None:
    """A phone asked for the state of its SOS, or cancelled it, and reached its earlier drill."""
    if not has_postgres:
        process.line.cut()
    sos_id = (await process.intake.press(process.press(drill=drill))).alert.sos_id
    other = await process.intake.press(replace(process.press(drill=not drill), sos_id=sos_id))
    found = await process.intake.find("t1", "d1", sos_id)
    assert found is not None and not found.drill
    assert drill is False or found == other.alert
    if has_postgres:
        process.line.cut()
        found = await process.intake.find("t1", "d1", sos_id)
        assert found is not None and not found.drill, "as it was last read"


async def test_an_id_finds_the_sos_of_another_process_before_the_own_drill(process: Process) -> None:
    drill = (await process.intake.press(process.press(drill=True))).alert
    press = companion_press(replace(process.press(), sos_id=drill.sos_id))
    case = cases.opened(press, CIRCUMSTANCES, now_ms()).case
    process.others.unread[case.alert.alert_id] = Kept(case, (press,))
    found = await process.intake.find("t1", "d1", drill.sos_id)
    assert found == case.alert


async def test_a_journalled_sos_with_the_id_of_a_drill_in_postgres_is_imported_apart(
    process: Process,
) -> None:
    """The SOS was merged into the drill: contacts were shown a drill, and the SOS was not escalated."""
    drill = (await process.ledger.press(process.press(drill=True), CIRCUMSTANCES)).alert
    process.line.cut()
    sos_id = drill.sos_id
    taken = await process.intake.press(replace(process.press(), sos_id=sos_id))
    assert not taken.alert.drill
    assert await process.back() == 1
    assert {alert.drill for alert in await process.stored()} == {True, False}
    for _ in range(2):
        found = await process.intake.find("t1", "d1", sos_id)
        assert found is not None and not found.drill
        again = await process.intake.press(replace(process.press(), sos_id=sos_id))
        assert (again.alert.alert_id, again.created) == (found.alert_id, False)
    assert len(await process.stored()) == 2
    assert await process.ledger.find("t1", "d1", sos_id) == drill
