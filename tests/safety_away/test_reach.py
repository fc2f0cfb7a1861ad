"""Whether Postgres is asked: not while it is away, and in turns, so that a flood does not make it seem so."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from alerts.alert import Noted
from alerts.ports import StorageFailure
from realtime.alerting.db_guard import PRESSES_AT_ONCE
from realtime.alerting.repository import IntakeTimes
from realtime.protocol import Code
from realtime.store.alerts import transactions
from realtime.store.db.pools import PoolBusy
from tests.safety_away.process import OLGA, PATIENT, Bounds, Process


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.5))], ids=["impatient"])
async def test_once_postgres_is_known_to_be_away_it_is_not_waited_for(process: Process) -> None:
    process.line.hang()
    await process.intake.press(process.press())
    assert not process.reach.is_up
    asked = []

    async def ask() -> None:
        asked.append(True)

    with pytest.raises(StorageFailure):
        await process.reach.ask(ask, 1.0)
    assert asked == []


@pytest.mark.parametrize(
    "bounds", [Bounds(times=PATIENT.times, press_slot_timeout_s=0.05)], ids=["impatient"]
)
async def test_a_press_whose_turn_does_not_come_is_kept_by_the_journal(process: Process) -> None:
    for _ in range(PRESSES_AT_ONCE):
        await process.reach._presses.acquire()
    taken = await process.intake.press(process.press())
    assert taken.durability == "replicated" and process.reach.is_up
    assert process.others.turns == [], "another process may have committed it: it waits for its import"
    process.reach._presses.release()
    assert (await process.intake.press(process.press(driver="d2"))).durability == "committed"


async def test_a_question_to_postgres_that_is_cut_off_from_within_is_its_absence(process: Process) -> None:
    async def cut_off() -> None:
        raise asyncio.CancelledError

    with pytest.raises(StorageFailure):
        await process.reach.ask(cut_off, 1.0)
    assert not process.reach.is_up


@pytest.mark.parametrize("bounds", [Bounds()], ids=["production"])
async def test_a_phone_that_presses_again_and_again_does_not_make_postgres_seem_away(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = transactions.press

    async def slow(*given: Any) -> Any:
        await asyncio.sleep(0.05)
        return await keep(*given)

    monkeypatch.setattr(transactions, "press", slow)
    presses = [process.press(sos_id=uuid4()) for _ in range(40)]  # together far longer than ASK_S
    taken = await asyncio.gather(*(process.intake.press(press) for press in presses))
    assert {(one.alert.alert_id, one.durability) for one in taken} == {(taken[0].alert.alert_id, "committed")}
    assert process.reach.losses == 0
    assert process.journal.kept == {}


@pytest.mark.parametrize("bounds", [Bounds()], ids=["production"])
async def test_a_flood_of_answers_to_one_alert_does_not_make_postgres_seem_away_nor_keep_a_press(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds one link may post as often as they like; the row they all want is one."""
    taken = await process.intake.press(process.press())
    apply = transactions.apply

    async def slow(*given: Any) -> Any:
        await asyncio.sleep(0.05)
        return await apply(*given)

    monkeypatch.setattr(transactions, "apply", slow)
    flood = asyncio.gather(
        *(process.intake.apply("t1", taken.alert.alert_id, Noted(OLGA, str(n))) for n in range(60))
    )
    await asyncio.sleep(0)
    other = await process.intake.press(process.press(driver="d2"))
    assert other.durability == "committed"
    assert not flood.done(), "it went past them"
    applied = await flood
    assert all(one is not None and one.refused is None for one in applied)
    assert process.reach.losses == 0


async def test_a_pool_that_is_full_says_nothing_about_postgres(process: Process) -> None:
    reach = process.reach

    async def busy() -> None:
        raise PoolBusy(Code.UNAVAILABLE, "storage is busy", retry_after_s=1)

    with pytest.raises(StorageFailure):
        await reach.ask(busy, 1.0)
    assert reach.is_up
    assert reach.losses == 0
