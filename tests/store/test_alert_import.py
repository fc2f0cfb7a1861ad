"""What a journal kept while Postgres was away, brought in once, by whatever clock it was kept."""

import random
from uuid import UUID

import pytest
from msgspec import structs

from alerts import case as cases
from alerts.alert import (
    Acknowledged,
    CancelAsked,
    PinResult,
    Press,
    Resolved,
    State,
    alert_id_of,
)
from alerts.attempt import Accepted, Channel, Status
from alerts.case import Audit, Case
from alerts.leases import stood_in_for
from alerts.press_ids import companion_sos_id
from realtime.store.alerts import reads
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from tests.alerts.ledger_contract import (
    CIRCUMSTANCES,
    COUNTING,
    DRIVER,
    OPERATOR,
    a_press,
    claim,
    delivered,
    raise_one,
    sweep,
)
from tests.store.clock import DatabaseClock

HOUR = 3_600_000


class World(DatabaseClock):
    """A ledger on the test's database."""

    def __init__(self, url: str, db: Database) -> None:
        super().__init__(url)
        self.db = db
        self.ledger = PostgresLedger(db, random.Random(1).random)

    async def explained(self, case: Case) -> reads.Explanation:
        told = await reads.explain(self.db, "t1", case.alert.alert_id)
        assert told is not None
        return told

    async def alerts(self) -> int:
        async with self.db.writer() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM alerts"))


@pytest.fixture
async def world(database_url: str, db: Database) -> World:
    return World(database_url, db)


def sent(case: Case, now_ms: int, provider_id: str = "SM1") -> Case:
    """``case`` with its first message taken by the provider, as the journal's own dispatcher did it."""
    (attempt,) = [a for a in case.attempts.values() if a.status is Status.DUE]
    claimed = structs.replace(
        attempt, status=Status.SENDING, provider="twilio", lease_by="w9", lease_until_ms=now_ms + 30_000
    )
    claiming = structs.replace(case, attempts={**case.attempts, claimed.attempt_id: claimed})
    accepted = Accepted(provider_id, "queued")
    return cases.settled(claiming, claimed.attempt_id, accepted, now_ms, lambda: 0.5).case


def opened(press: Press, now_ms: int) -> Case:
    return cases.opened(press, CIRCUMSTANCES, now_ms).case


async def test_a_case_that_is_not_there_is_kept_with_all_that_was_sent_for_it(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    case = sent(opened(press, now_ms), now_ms)
    assert not await world.ledger.report(delivered("SM1"))
    alert = await world.ledger.import_case(case, [press])
    told = await world.explained(case)
    assert alert.alert_id == case.alert.alert_id
    assert [a.status for a in told.attempts] == [Status.DELIVERED]
    assert [p.sos_id for p in told.presses] == [press.sos_id]
    assert told.alert.reached_ms is not None
    assert await claim(world) == []
    found = await world.ledger.find("t1", "d1", press.sos_id)
    assert found == told.alert


async def test_what_was_not_sent_yet_is_sent_from_here(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    await world.ledger.import_case(opened(press, now_ms), [press])
    assert (await sweep(world)).whom == [("alert", "ana")]


async def test_bringing_it_in_again_changes_nothing(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    case = sent(opened(press, now_ms), now_ms)
    line = Audit(1, now_ms, DRIVER, "raised", "B", {})
    first = await world.ledger.import_case(case, [press], [line])
    before = await world.explained(case)
    for _ in range(3):
        assert await world.ledger.import_case(case, [press], [line]) == first
    assert await world.explained(case) == before
    assert [one.what for one in before.audit].count("raised") == 1
    assert await world.alerts() == 1


async def test_one_that_was_here_before_the_outage_is_merged_and_nothing_is_sent_twice(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    here = await world.ledger.press(press, CIRCUMSTANCES)
    theirs = sent(opened(press, now_ms), now_ms)
    theirs = cases.applied(theirs, Acknowledged(OPERATOR, "link"), now_ms).case
    alert = await world.ledger.import_case(theirs, [press])
    assert (alert.alert_id, alert.state) == (here.alert.alert_id, State.ACKNOWLEDGED)
    assert await claim(world) == []
    assert await world.ledger.report(delivered("SM1"))


async def test_two_journals_of_the_same_press_are_one_alert(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    by_socket = sent(opened(press, now_ms), now_ms)
    by_http = cases.applied(opened(press, now_ms), Acknowledged(OPERATOR, "sms"), now_ms).case
    await world.ledger.import_case(by_http, [press])
    alert = await world.ledger.import_case(by_socket, [press])
    assert alert.state is State.ACKNOWLEDGED
    assert await world.alerts() == 1
    assert await world.ledger.report(delivered("SM1"))


async def test_another_press_of_the_outage_joins_the_open_alert_and_is_found_by_its_promised_id(
    world: World,
) -> None:
    here = await raise_one(world)
    await sweep(world, "SM0")
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    theirs = sent(opened(press, now_ms), now_ms)
    alert = await world.ledger.import_case(theirs, [press])
    assert alert.alert_id == here.alert.alert_id
    promised = alert_id_of("t1", "d1", press.sos_id)
    found = await reads.get(world.db, "t1", promised)
    assert found is not None
    assert found.alert_id == here.alert.alert_id
    applied = await world.ledger.apply(promised, Acknowledged(OPERATOR, "link"))
    assert applied is not None
    assert applied.alert.alert_id == here.alert.alert_id
    assert await world.ledger.report(delivered("SM1"))
    assert await world.alerts() == 1
    again = await world.ledger.import_case(theirs, [press])
    assert again.state is State.ACKNOWLEDGED


async def test_one_that_ended_during_the_outage_is_kept_beside_the_open_one(world: World) -> None:
    here = await raise_one(world)
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    theirs = cases.applied(opened(press, now_ms), Resolved(OPERATOR), now_ms).case
    alert = await world.ledger.import_case(theirs, [press])
    assert alert.state is State.RESOLVED
    assert alert.alert_id != here.alert.alert_id
    open_ones = await reads.open_of(world.db, "t1", driver="d1")
    assert [a.alert_id for a in open_ones] == [here.alert.alert_id]


async def test_a_case_without_its_press_is_still_found_by_its_id(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    alert = await world.ledger.import_case(opened(press, now_ms), [])
    again = await world.ledger.press(press, CIRCUMSTANCES)
    assert (again.alert.alert_id, again.created) == (alert.alert_id, False)


async def test_what_was_a_duress_after_all_goes_into_the_alert_that_is_open_meanwhile(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    await world.ledger.press(press, COUNTING)
    cancel = CancelAsked(DRIVER, PinResult.RIGHT)
    await world.ledger.apply(alert_id_of("t1", "d1", press.sos_id), cancel)
    here = await raise_one(world)
    counting = cases.opened(press, COUNTING, now_ms).case
    theirs = cases.applied(counting, CancelAsked(DRIVER, PinResult.DURESS), now_ms).case
    alert = await world.ledger.import_case(theirs, [press])
    assert (alert.alert_id, alert.state, alert.duress) == (here.alert.alert_id, State.ACTIVE, True)


@pytest.mark.parametrize("ahead_ms", [HOUR, -HOUR])
async def test_a_journal_whose_clock_was_wrong_escalates_as_if_it_were_right(
    world: World, ahead_ms: int
) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms + ahead_ms)
    case = sent(opened(press, now_ms + ahead_ms), now_ms + ahead_ms)
    alert = await world.ledger.import_case(case, [press], their_now_ms=now_ms + ahead_ms)
    assert abs(alert.raised_ms - now_ms) < 60_000
    assert (await sweep(world)).whom == []
    await world.later(61_000 + 10_000)
    assert (await sweep(world)).whom == [("alert", "ben")]


async def test_a_journal_whose_clock_ran_ahead_and_was_put_right_makes_nobody_wait(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms + HOUR)
    await world.ledger.import_case(opened(press, now_ms + HOUR), [press], their_now_ms=now_ms)
    assert (await sweep(world)).whom == [("alert", "ana")]
    await world.later(61_000)
    assert (await sweep(world)).whom == [("alert", "ben")]


# --- Postgres' own clock


async def test_a_database_clock_set_back_holds_nobody_up(world: World) -> None:
    await raise_one(world)
    await sweep(world)
    await world.later(-HOUR)
    assert (await sweep(world)).whom == []
    await world.later(61_000)
    assert (await sweep(world)).whom == [("alert", "ben")]


async def test_a_message_that_is_due_when_the_clock_is_set_back_is_sent(world: World) -> None:
    taken = await raise_one(world)
    await world.later(-HOUR)
    assert await world.ledger.anything_due()
    assert (await sweep(world)).whom == [("alert", "ana")]
    found = await reads.get(world.db, "t1", taken.alert.alert_id)
    assert found is not None
    assert found.version == taken.alert.version
    assert await world.ledger.advance(50) == 0


async def test_a_message_that_was_being_sent_when_the_clock_was_set_back_is_taken_over(world: World) -> None:
    await raise_one(world)
    (job,) = await claim(world)
    await world.later(-HOUR)
    await world.ledger.advance(50)
    await world.later(31_000)
    (again,) = await claim(world, "w2")
    assert again.attempt.attempt_id == job.attempt.attempt_id
    assert again.attempt.status is Status.SENDING


async def test_a_clock_set_ahead_escalates_and_loses_nothing(world: World) -> None:
    await raise_one(world)
    (job,) = await claim(world, channels=[Channel.SMS])
    await world.later(HOUR)
    told = await sweep(world)
    assert job.attempt.attempt_id in [j.attempt.attempt_id for j in told.jobs]


async def test_a_copy_to_which_nothing_happened_is_known(world: World) -> None:
    taken = await raise_one(world)
    case = await world.ledger.look(taken.alert.alert_id)
    assert case is not None
    alert_id, now_ms = taken.alert.alert_id, await world.now_ms()
    held = stood_in_for(case, now_ms, 30_000, 1_000)
    assert held != case, "its first message is held back"
    unheard = structs.replace(case, alert=structs.replace(case.alert, alert_id=UUID(int=5)))
    assert await world.ledger.known([(case, ()), (held, ())]) == {alert_id}
    assert await world.ledger.known([(sent(case, now_ms), ())]) == set(), "it was sent"
    assert await world.ledger.known([(unheard, ())]) == set(), "postgres does not have it"
    assert await world.ledger.known([]) == set()


async def test_a_copy_whose_news_another_brought_in_is_known_with_its_history(world: World) -> None:
    taken = await raise_one(world)
    case = await world.ledger.look(taken.alert.alert_id)
    assert case is not None
    now_ms = await world.now_ms()
    changes = cases.applied(sent(case, now_ms), Acknowledged(OPERATOR, "link"), now_ms)
    copy = (changes.case, changes.audit)
    assert await world.ledger.known([copy]) == set()
    await world.ledger.import_case(changes.case, (), ())
    assert await world.ledger.known([copy]) == set(), "its history is not there"
    await world.ledger.import_case(changes.case, (), changes.audit)
    assert await world.ledger.known([copy]) == {taken.alert.alert_id}


async def test_what_was_only_held_back_by_who_stood_in_is_sent_from_postgres_as_if_never_tried(
    world: World,
) -> None:
    taken = await raise_one(world)
    case = await world.ledger.look(taken.alert.alert_id)
    assert case is not None
    held = stood_in_for(case, await world.now_ms(), 30_000, 30_000)
    await world.ledger.import_case(held, (), ())
    assert [job.attempt.status for job in await claim(world)] == [Status.DUE]


async def test_an_sos_with_the_id_of_a_drill_is_imported_as_an_alert_of_its_own(world: World) -> None:
    """The attempts too: each alert has one to the same contact."""
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    drill = (await world.ledger.press(structs.replace(press, drill=True), CIRCUMSTANCES)).alert
    case = sent(opened(press, now_ms), now_ms)
    first = await world.ledger.import_case(case, [press])
    before = await world.explained(structs.replace(case, alert=first))
    assert await world.ledger.import_case(case, [press]) == first
    assert await world.explained(structs.replace(case, alert=first)) == before
    assert (first.drill, first.alert_id == drill.alert_id) == (False, False)
    assert [a.status for a in before.attempts] == [Status.SENT]
    assert await world.alerts() == 2
    unchanged = await world.ledger.find("t1", "d1", press.sos_id)
    assert unchanged == drill
    assert [job.alert.drill for job in await claim(world)] == [True], "the sos has been sent"


async def test_the_id_that_an_sos_was_promised_means_the_sos_and_a_drill_is_still_escalated(
    world: World,
) -> None:
    """A contact opens the link of the SOS; the sweep goes by the id of the drill."""
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    drill = (await world.ledger.press(structs.replace(press, drill=True), CIRCUMSTANCES)).alert
    sos = await world.ledger.import_case(opened(press, now_ms), [press])
    linked = await world.ledger.look(drill.alert_id)
    assert linked is not None and linked.alert.alert_id == sos.alert_id
    assert await reads.get(world.db, "t1", drill.alert_id) == sos
    applied = await world.ledger.apply(drill.alert_id, Acknowledged(OPERATOR, "console"))
    assert applied is not None and applied.alert.drill


async def test_a_copy_of_an_sos_is_not_known_because_a_drill_has_its_id(world: World) -> None:
    now_ms = await world.now_ms()
    press = a_press(now_ms)
    await world.ledger.press(structs.replace(press, drill=True), CIRCUMSTANCES)
    case = opened(press, now_ms)
    assert await world.ledger.known([(case, ())]) == set()


async def test_a_press_that_joined_in_the_journal_is_imported_beside_the_drill_of_its_id(
    world: World,
) -> None:
    now_ms = await world.now_ms()
    first, second = a_press(now_ms), a_press(now_ms)
    await world.ledger.press(structs.replace(second, drill=True), CIRCUMSTANCES)
    case = cases.joined(opened(first, now_ms), second, CIRCUMSTANCES, now_ms).case
    alert = await world.ledger.import_case(case, [first, second])
    assert (alert.alert_id, alert.drill) == (case.alert.alert_id, False)
    found = await world.ledger.find("t1", "d1", companion_sos_id(second.sos_id, drill=False))
    assert found == alert
