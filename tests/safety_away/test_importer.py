"""What waited for Postgres is brought in once, and nothing that it has already."""

import pytest

from alerts import case as cases
from realtime.store.alerts import reads
from realtime.store.people.replies import ReplyStore
from tests.alerts.ledger_contract import CIRCUMSTANCES
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import PHONE, Process


async def test_an_end_between_the_import_and_its_note_imports_again_and_changes_nothing(
    process: Process,
) -> None:
    process.line.cut()
    taken = await process.intake.press(process.press())
    process.journal.dies_before_forgetting = True
    with pytest.raises(KeyboardInterrupt):
        await process.back()
    once = await reads.explain(process.db, "t1", taken.alert.alert_id)
    process.journal.dies_before_forgetting = False
    assert await process.importer.round() == 1
    again = await reads.explain(process.db, "t1", taken.alert.alert_id)
    assert once is not None and again is not None
    assert (again.alert, again.attempts) == (once.alert, once.attempts)


async def test_a_case_that_postgres_would_not_have_stays_and_is_in_nobodys_way(process: Process) -> None:
    process.line.cut()
    bad = await process.intake.press(process.press(driver="d\0"))
    good = await process.intake.press(process.press())
    assert await process.back() == 1
    assert list(process.journal.kept) == [bad.alert.alert_id]
    (stored,) = await process.stored()
    assert stored.alert_id == good.alert.alert_id
    assert process.reach.is_up, "that says nothing against postgres"
    assert process.importer.beat().waiting == 1


async def test_who_says_stop_while_it_is_away_is_heeded_at_once_and_afterwards(process: Process) -> None:
    process.line.cut()
    await process.book.opt_out(PHONE)
    await process.book.keep("SM9")
    assert await process.book.is_known("SM9")
    taken = await process.intake.press(process.press())
    contacts = process.journal.kept[taken.alert.alert_id].case.copy.contacts
    assert PHONE not in [contact.phone for contact in contacts]
    await process.back()
    assert process.directory.unsaid == 0
    known = await process.intake.circumstances("t1", "north", "d1")
    assert PHONE not in [contact.phone for contact in known.contacts]


async def test_copies_that_postgres_has_all_of_are_forgotten_without_an_import(process: Process) -> None:
    taken = [await process.intake.press(process.press(driver=f"d{n}")) for n in range(3)]
    before = [await process.ledger.look(one.alert.alert_id) for one in taken]
    process.told.clear()
    for case in before:
        assert case is not None
        await process.journal.adopt(case)
    assert await process.importer.round() == 3
    assert (process.journal.kept, process.told) == ({}, [])
    assert [await process.ledger.look(one.alert.alert_id) for one in taken] == before


async def test_news_of_an_alert_that_another_acts_on_is_left_to_that_one_unless_it_was_pressed_here(
    process: Process,
) -> None:
    process.line.cut()
    pressed = (await process.intake.press(process.press())).alert.alert_id
    opened = cases.opened(process.press(driver="d2"), CIRCUMSTANCES, now_ms()).case
    copied = opened.alert.alert_id
    await process.journal.adopt(opened)
    process.others.acted = {pressed, copied}
    assert await process.back() == 1
    assert list(process.journal.kept) == [copied]
    process.others.acted = set()
    assert await process.importer.round() == 1, "that one is gone"
    assert process.journal.kept == {}


async def test_an_answer_of_an_absence_is_known_to_everybody_afterwards(process: Process) -> None:
    process.line.cut()
    await process.book.keep("SM1")
    assert await process.book.is_known("SM1")
    await process.back()
    assert await ReplyStore(process.db).is_known("SM1"), "else another process takes it again"
