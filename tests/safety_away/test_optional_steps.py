"""One failure alone refuses an SOS: that it cannot be stored. Every other step is left out when it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from alerts.alert import Place, Press
from alerts.ports import StorageFailure, StorageUnavailable
from realtime.alerting import last_positions
from realtime.alerting.optional import PressStep
from realtime.alerting.press_committer import PressCommitter
from realtime.metrics import instruments
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import Process

SAID = (1.0, 2.0)


def defect(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("52.5, 13.4")


async def late_defect(*_: Any, **__: Any) -> Any:
    await asyncio.sleep(0)
    raise ZeroDivisionError("52.5, 13.4")


def said(process: Process, **changes: Any) -> Press:
    return process.press(place=Place(*SAID, 5.0, now_ms()), **changes)


def count(step: PressStep) -> float:
    return instruments.PRESS_STEP_FAULTS.labels(step.value).value


Break = Callable[[Process, pytest.MonkeyPatch], None]


def of_repository(name: str, by: Any) -> Break:
    return lambda process, monkeypatch: monkeypatch.setattr(process.intake, name, by)


def rule_of_places(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_positions, "choose", defect)


def part(owner: str, name: str, by: Any) -> Break:
    return lambda process, monkeypatch: monkeypatch.setattr(getattr(process.intake, owner), name, by)


WITH_POSTGRES: list[tuple[PressStep, Break]] = [
    (PressStep.PLACE, rule_of_places),
    (PressStep.LIVE_POSITION, part("_news", "open_of_driver", defect)),
    (PressStep.JOURNAL, part("_copies", "read_anew", late_defect)),
    (PressStep.ANNOUNCEMENT, part("_announcer", "changed", defect)),
]
WITHOUT_POSTGRES: list[tuple[PressStep, Break]] = [
    (PressStep.PLACE, rule_of_places),
    (PressStep.LIVE_POSITION, part("_news", "open_of_driver", defect)),
    (PressStep.OPEN_ALERT, part("_earlier", "adopt", late_defect)),
    (PressStep.CONTACTS, part("_directory", "of", defect)),
    (PressStep.REPLICATION, part("_copies", "share", late_defect)),
    (PressStep.DELIVERY, of_repository("_turn_later", defect)),
    (PressStep.ANNOUNCEMENT, part("_announcer", "changed", defect)),
]


@pytest.mark.parametrize(("step", "broken"), WITH_POSTGRES, ids=[step.value for step, _ in WITH_POSTGRES])
async def test_a_press_is_committed_without_a_step_that_fails(
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: PressStep,
    broken: Break,
) -> None:
    broken(process, monkeypatch)
    before = count(step)
    press = said(process)
    taken = await process.intake.press(press)
    assert taken.durability == "committed"
    place = taken.alert.place
    assert place is not None and (place.lat, place.lon) == SAID
    assert count(step) > before
    assert str(press.sos_id) in caplog.text and "52.5" not in caplog.text


@pytest.mark.parametrize(
    ("step", "broken"), WITHOUT_POSTGRES, ids=[step.value for step, _ in WITHOUT_POSTGRES]
)
async def test_a_press_is_journalled_without_a_step_that_fails(
    process: Process, monkeypatch: pytest.MonkeyPatch, step: PressStep, broken: Break
) -> None:
    process.line.cut()
    await process.intake.press(said(process, driver="before"))  # Postgres is found to be unavailable
    broken(process, monkeypatch)
    before = count(step)
    taken = await process.intake.press(said(process))
    assert taken.durability in ("local", "replicated")
    place = taken.alert.place
    assert place is not None and (place.lat, place.lon) == SAID
    assert count(step) > before


async def test_a_defect_on_the_way_to_postgres_leaves_the_press_to_the_journal(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.committer, "commit", late_defect)
    taken = await process.intake.press(said(process))
    assert taken.durability in ("local", "replicated")


async def test_a_defect_of_the_journal_leaves_the_press_to_postgres(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any) -> Any:
        raise StorageUnavailable

    monkeypatch.setattr(process.committer, "commit", unavailable)
    monkeypatch.setattr(process.journal, "press", late_defect)
    assert (await process.intake.press(said(process))).durability == "committed"


async def test_a_press_is_journalled_although_the_importer_cannot_be_woken(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SOS was on disk, and its phone was answered that it was not stored."""
    monkeypatch.setattr(process.committer, "commit", late_defect)
    monkeypatch.setattr(process, "wake", defect)
    before = count(PressStep.IMPORT)
    taken = await process.intake.press(said(process))
    assert (taken.durability, taken.alert.alert_id in process.journal.kept) == ("replicated", True)
    assert count(PressStep.IMPORT) == before + 1


async def test_a_group_and_a_single_press_have_one_deadline(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that fails late leaves its presses the rest of the time, and not as long again."""
    inner: PressCommitter = process.committer
    within_s, loop = 2.0, asyncio.get_running_loop()
    at_s: dict[str, float] = {}

    async def failing_late(*_: Any) -> Any:
        await asyncio.sleep(0.9 * within_s)
        raise ZeroDivisionError

    async def hanging(*_: Any) -> Any:
        at_s["alone"] = loop.time()
        await asyncio.Event().wait()

    monkeypatch.setattr(inner, "_within_s", within_s)
    monkeypatch.setattr(inner, "_ask_s", 3_600.0)  # no other deadline ends it
    monkeypatch.setattr(process.ledger, "press_group", failing_late)
    monkeypatch.setattr(inner, "commit_alone", hanging)
    async with asyncio.timeout(20):
        with pytest.raises(StorageFailure):
            await inner.commit(said(process), [])
    assert loop.time() - at_s["alone"] < within_s, "it had a tenth of the time left"
    at_s.clear()
    monkeypatch.setattr(inner, "_within_s", 0.1)
    async with asyncio.timeout(20):
        with pytest.raises(StorageFailure):
            await inner.commit(said(process), [])
    assert at_s == {}, "the group has used all of it"


def test_every_step_has_its_count() -> None:
    for step in PressStep:
        assert count(step) >= 0
