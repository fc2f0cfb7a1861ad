"""The ledger on a process's own disk: the contract, and what a crash, a full disk or a wrong key leave."""

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Acknowledged, Noted, Resolved, State
from alerts.attempt import Accepted, Status
from alerts.journal.append_log import JOURNAL_LIMITS, InUse, JournalLimits
from alerts.journal.ledger import LocalLedger
from alerts.journal.peer_visibility import Unseen
from alerts.journal.records import JournalCase
from alerts.ports import StorageFailure
from alerts.press_ids import companion_press
from tests.alerts.ledger_contract import (
    CIRCUMSTANCES,
    LEASE_S,
    OPERATOR,
    LedgerContract,
    a_press,
    claim,
    delivered,
    raise_one,
    sweep,
    with_provider,
)

KEY = b"k" * 32
ROOT = Path(__file__).parents[3]


class LocalWorld:
    """A ledger in a folder, and a clock that is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.at_ms = 1_764_000_000_000
        self.heard: list[JournalCase] = []
        self.ledger: LocalLedger

    async def later(self, ms: int) -> None:
        self.at_ms += ms

    async def now_ms(self) -> int:
        return self.at_ms

    async def opened(self, key: bytes = KEY, limits: JournalLimits = JOURNAL_LIMITS) -> LocalLedger:
        self.ledger = await LocalLedger.open(
            self.folder,
            key,
            now_ms=lambda: self.at_ms,
            jitter=random.Random(1).random,
            on_change=self.heard.append,
            limits=limits,
        )
        return self.ledger

    async def again(self, limits: JournalLimits = JOURNAL_LIMITS) -> LocalLedger:
        """As after a restart."""
        await self.ledger.close()
        return await self.opened(limits=limits)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LocalWorld]:
    made = LocalWorld(tmp_path / "journal")
    await made.opened()
    yield made
    await made.ledger.close()


class TestLocalLedger(LedgerContract):
    """The contract."""


async def test_all_is_there_after_a_restart(world: LocalWorld) -> None:
    taken = await raise_one(world)
    joined = await raise_one(world, message="again")
    await sweep(world, "SM1")
    await world.ledger.report(delivered("SM1"))
    await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
    before = world.ledger.all()
    await world.again()
    assert world.ledger.all() == before
    (kept,) = before
    assert [press.message for press in kept.presses] == ["", "again"]
    assert kept.case.alert.state is State.ACKNOWLEDGED
    assert kept.case.alert.reached_ms is not None
    assert joined.alert.alert_id == taken.alert.alert_id
    assert {"raised", "acknowledged"} <= {line.what for line in kept.audit}


async def test_what_was_being_sent_in_a_crash_is_looked_up_after_its_lease(world: LocalWorld) -> None:
    await raise_one(world)
    (job,) = await claim(world)
    await world.again()
    assert await claim(world) == []
    await world.later(int(LEASE_S * 1000) + 1)
    (again,) = await claim(world)
    assert (again.attempt.attempt_id, again.attempt.status) == (job.attempt.attempt_id, Status.SENDING)


async def test_out_of_sight_of_the_others_it_is_late_and_all_may_have_been_sent_elsewhere(
    world: LocalWorld,
) -> None:
    await raise_one(world)
    await sweep(world, "SM1")
    world.ledger.sight.unseen = lambda: Unseen(for_ms=40_000, late_ms=7_000)
    await world.later(66_000)
    assert await world.ledger.advance(10) == 0, "the next step is due after 60 s, and here after 67"
    await world.later(1_000)
    assert await world.ledger.advance(10) == 1
    assert [(job.contact.contact_id, job.elsewhere) for job in await claim(world)] == [("ben", True)]


async def test_what_was_raised_out_of_sight_of_the_others_is_neither_late_nor_elsewhere(
    world: LocalWorld,
) -> None:
    since_ms = world.at_ms
    await world.later(1_000)
    world.ledger.sight.unseen = lambda: Unseen(for_ms=world.at_ms - since_ms, late_ms=7_000)
    await raise_one(world)
    assert [job.elsewhere for job in await claim(world)] == [False]
    await world.later(60_000)
    assert await world.ledger.advance(10) == 1
    assert [job.elsewhere for job in await claim(world)] == [False, False]


async def test_what_another_knows_of_a_case_that_postgres_is_getting_does_not_bring_it_back(
    world: LocalWorld,
) -> None:
    taken = await raise_one(world)
    (kept,) = world.ledger.all()
    async with world.ledger.hold(taken.alert.alert_id):
        learning = asyncio.ensure_future(world.ledger.learn(kept.case, kept.presses, kept.audit))
        await asyncio.sleep(0)
        await world.ledger.forget(taken.alert.alert_id)
    await learning
    assert world.ledger.all() == []


async def test_who_gives_up_waiting_for_the_disk_takes_nobody_along(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync = threading.Event()
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (may_sync.wait(20), sync(file)))
    impatient = asyncio.ensure_future(raise_one(world))
    await asyncio.sleep(0.05)
    patient = asyncio.ensure_future(world.ledger._keeping.flushed())
    await asyncio.sleep(0.05)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    may_sync.set()
    await patient
    assert len(world.ledger.all()) == 1, "what it had begun is kept all the same"


async def test_a_doubted_press_is_looked_up_before_it_is_sent_until_it_is_forgotten(
    world: LocalWorld,
) -> None:
    taken = await raise_one(world)
    other = await raise_one(world, driver="d2")
    world.ledger.doubt(taken.alert.alert_id)
    world.ledger.doubt(UUID(int=9))  # of nobody: nothing happens
    jobs = {job.alert.alert_id: job.elsewhere for job in await claim(world)}
    assert jobs == {taken.alert.alert_id: True, other.alert.alert_id: False}
    await world.ledger.forget(taken.alert.alert_id)
    assert not world.ledger.sight.is_elsewhere(taken.alert, world.at_ms)


async def test_a_tail_cut_anywhere_loses_no_more_than_the_last_record(world: LocalWorld) -> None:
    first = await raise_one(world)
    await world.ledger.close()
    path = world.folder / "journal"
    whole = path.stat().st_size
    await world.opened()
    await raise_one(world, driver="d2")
    await world.ledger.close()
    raw = path.read_bytes()
    for end in [*range(whole, len(raw), 97), len(raw) - 1]:
        path.write_bytes(raw[:end])
        ledger = await world.opened()
        assert [kept.case.alert for kept in ledger.all()] == [first.alert], end
        await raise_one(world, driver="d3")
        await world.again()
        assert len(world.ledger.all()) == 2, "what is appended after the cut is found again"
        await world.ledger.close()
    await world.opened()


async def test_a_broken_record_is_passed_over_and_the_others_are_read(
    world: LocalWorld, caplog: pytest.LogCaptureFixture
) -> None:
    await raise_one(world, driver="d1")
    middle = (world.folder / "journal").stat().st_size
    await raise_one(world, driver="d2")
    await raise_one(world, driver="d3")
    await world.ledger.close()
    path = world.folder / "journal"
    raw = bytearray(path.read_bytes())
    raw[middle + 40] ^= 1
    path.write_bytes(raw)
    ledger = await world.opened()
    assert {kept.case.alert.driver for kept in ledger.all()} == {"d1", "d3"}
    assert "passed over" in caplog.text


async def test_a_record_that_is_moved_or_repeated_does_not_open(world: LocalWorld) -> None:
    await raise_one(world, driver="d1")
    begin = (world.folder / "journal").stat().st_size
    await world.ledger.forget((await raise_one(world, driver="d2")).alert.alert_id)
    await world.ledger.close()
    path = world.folder / "journal"
    raw = path.read_bytes()
    path.write_bytes(raw + raw[begin:])
    ledger = await world.opened()
    assert {kept.case.alert.driver for kept in ledger.all()} == {"d1"}


async def test_another_key_puts_the_file_aside_and_shows_nothing(world: LocalWorld) -> None:
    # Long enough that a sealed file does not hold it by chance, as it did hold two letters.
    driver = "a-driver-nobody-should-read"
    await raise_one(world, driver=driver)
    await world.ledger.close()
    raw = (world.folder / "journal").read_bytes()
    assert driver.encode() not in raw
    ledger = await world.opened(b"o" * 32)
    assert ledger.all() == []
    (aside,) = world.folder.glob("journal-unread-*")
    assert aside.read_bytes() == raw


async def test_only_one_process_owns_a_folder(world: LocalWorld) -> None:
    with pytest.raises(InUse, match="in use"):
        await LocalLedger.open(world.folder, KEY, now_ms=lambda: world.at_ms)
    assert (world.folder.stat().st_mode & 0o777, (world.folder / "journal").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


async def test_what_cannot_be_written_is_away_and_nothing_of_it_is_seen(world: LocalWorld) -> None:
    """A file of this process may not grow for a while, as on a disk that is full."""
    taken = await raise_one(world)
    world.heard.clear()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((world.folder / "journal").stat().st_size + 10, usual[1]))
    try:
        with pytest.raises(StorageFailure):
            await raise_one(world, driver="d2")
        with pytest.raises(StorageFailure):
            await world.ledger.apply(taken.alert.alert_id, Resolved(OPERATOR))
        with pytest.raises(StorageFailure):
            await claim(world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [kept.case.alert for kept in world.ledger.all()] == [taken.alert]
    assert world.heard == []
    await raise_one(world, driver="d2")
    assert len(await claim(world)) == 2
    before = world.ledger.all()
    await world.again()
    assert world.ledger.all() == before


async def test_a_hundred_presses_at_once_are_few_writes(
    world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = 0
    sync = os.fsync

    def counted(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    await asyncio.gather(*(raise_one(world, driver=f"d{n}") for n in range(100)))
    assert len(world.ledger.all()) == 100
    assert synced <= 5


async def test_a_full_journal_takes_deliveries_then_presses_alone_and_at_last_nothing(
    world: LocalWorld,
) -> None:
    taken = await raise_one(world)
    size = (world.folder / "journal").stat().st_size
    await world.again(JournalLimits(max_bytes=size + 12_000, reserved_bytes=12_000))
    assert not world.ledger.is_full
    await raise_one(world, driver="d2")
    assert world.ledger.is_full
    with pytest.raises(StorageFailure):
        await world.ledger.early.keep(delivered("SM9"))
    assert len(await claim(world)) > 0, "its contacts are notified"
    with pytest.raises(StorageFailure, match="full"):
        for _ in range(20):
            await world.ledger.apply(taken.alert.alert_id, Noted(OPERATOR, "n" * 500))
    await raise_one(world, driver="d3")
    with pytest.raises(StorageFailure, match="full"):
        for n in range(20):
            await raise_one(world, driver=f"d{n + 4}")
    assert {"d1", "d2", "d3"} <= {kept.case.alert.driver for kept in world.ledger.all()}


async def test_a_press_in_the_reserve_of_a_journal_is_acted_on(world: LocalWorld) -> None:
    await raise_one(world)
    size = (world.folder / "journal").stat().st_size
    await world.again(JournalLimits(max_bytes=size + 8_000, reserved_bytes=8_000))
    press = a_press(world.at_ms, driver="d2")
    taken = await world.ledger.press(press, CIRCUMSTANCES, acting=False)
    assert world.ledger.is_full
    await world.ledger.act(taken.alert.alert_id, True)
    await world.again()
    kept = world.ledger.get(taken.alert.alert_id)
    assert kept is not None and kept.acting


async def test_a_long_journal_is_rewritten_and_nothing_is_missing(world: LocalWorld) -> None:
    await world.again(JournalLimits(compact_bytes=20_000))
    for n in range(60):
        taken = await raise_one(world, driver=f"d{n}")
        if n % 3:
            await world.ledger.forget(taken.alert.alert_id)
    await world.ledger.early.keep(delivered("SM9"))
    assert (world.folder / "journal").stat().st_size < 200_000
    before = world.ledger.all()
    assert len(before) == 20
    await world.again()
    assert world.ledger.all() == before
    assert world.ledger.early.kept() == [delivered("SM9")]
    await world.ledger.early.forget(delivered("SM9"))
    await world.again()
    assert world.ledger.early.kept() == []


async def test_a_copy_is_never_acted_on_until_it_is_told_so(world: LocalWorld) -> None:
    changes = cases.opened(a_press(world.at_ms), CIRCUMSTANCES, world.at_ms)
    await world.ledger.adopt(changes.case)
    assert await claim(world) == []
    await world.later(3_600_000)
    assert await world.ledger.advance(50) == 0
    await world.ledger.act(changes.case.alert.alert_id, True)
    await world.later(-3_600_000)
    assert len(await claim(world)) == 1
    await world.ledger.act(changes.case.alert.alert_id, False)
    await world.later(int(LEASE_S * 1000) + 1)
    assert await claim(world) == []


async def test_what_another_process_was_told_reaches_who_acts(world: LocalWorld) -> None:
    taken = await raise_one(world)
    mine = world.ledger.get(taken.alert.alert_id)
    assert mine is not None
    other = cases.applied(mine.case, Acknowledged(OPERATOR, "link"), world.at_ms)
    press = a_press(world.at_ms, driver="d1")
    merged = await world.ledger.adopt(other.case, (press,), other.audit)
    assert merged.case.alert.state is State.ACKNOWLEDGED
    assert merged.acting
    assert press in merged.presses
    world.heard.clear()
    assert await world.ledger.adopt(other.case, (press,), other.audit) == merged
    assert world.heard == []
    assert await claim(world) == []


async def test_while_a_case_is_held_nothing_of_it_changes_and_nothing_is_claimed(world: LocalWorld) -> None:
    taken = await raise_one(world)
    alert_id = taken.alert.alert_id
    async with world.ledger.hold(alert_id) as kept:
        assert kept is not None
        assert await claim(world) == []
        waiting = asyncio.ensure_future(world.ledger.apply(alert_id, Resolved(OPERATOR)))
        pressing = asyncio.ensure_future(raise_one(world))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not pressing.done()
        await world.ledger.forget(alert_id)
    assert await waiting is None, "it is not here any more"
    assert (await pressing).created
    assert await world.ledger.look(alert_id) is None
    await world.again()
    assert await world.ledger.look(alert_id) is None


async def test_a_hold_waits_for_what_is_under_way(world: LocalWorld) -> None:
    taken = await raise_one(world)
    (job,) = await claim(world)
    entered = asyncio.Event()

    async def bring() -> JournalCase | None:
        async with world.ledger.hold(taken.alert.alert_id) as kept:
            entered.set()
            return kept

    bringing = asyncio.ensure_future(bring())
    await asyncio.sleep(0.1)
    assert not entered.is_set()
    await world.ledger.settle(with_provider(job), Accepted("SM1", "queued"))
    kept = await bringing
    assert kept is not None
    assert kept.case.attempts[job.attempt.attempt_id].status is Status.SENT
    again = await claim(world)
    assert again == []


async def test_a_hold_ends_its_waiting(world: LocalWorld) -> None:
    taken = await raise_one(world)
    await claim(world)
    async with world.ledger.hold(taken.alert.alert_id, hold_s=0.05) as kept:
        assert kept is not None
        assert {a.status for a in kept.case.attempts.values()} == {Status.SENDING}


async def test_a_clock_that_is_set_back_holds_nothing_up(world: LocalWorld) -> None:
    await raise_one(world)
    await world.later(-3_600_000)
    await world.again()
    assert (await sweep(world)).whom == [("alert", "ana")]


PRESSES = """
import asyncio, sys, time
from pathlib import Path
from uuid import UUID
from alerts.journal.ledger import LocalLedger
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press

async def main():
    ledger = await LocalLedger.open(Path(sys.argv[1]), b"k" * 32, now_ms=lambda: time.time_ns() // 1_000_000)
    async def press(n):
        taken = await ledger.press(a_press(1, driver=f"d{n}", sos_id=UUID(int=n + (4 << 76))), CIRCUMSTANCES)
        print(taken.alert.alert_id, flush=True)
    for n in range(0, 100_000, 10):
        await asyncio.gather(*(press(n + m) for m in range(10)))

asyncio.run(main())
"""


async def test_whatever_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PRESSES,
        str(tmp_path / "j"),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    answered = [(await process.stdout.readline()).decode().strip() for _ in range(137)]
    process.kill()
    answered += (await process.stdout.read()).decode().split()
    await process.wait()
    ledger = await LocalLedger.open(tmp_path / "j", KEY, now_ms=lambda: 2)
    kept = {str(one.case.alert.alert_id) for one in ledger.all()}
    await ledger.close()
    assert {line for line in answered if len(line) == 36} <= kept
    assert len(kept) >= 137


async def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    for name, made in (("there", True), ("new", False)):
        folder = tmp_path / name
        if made:
            folder.mkdir()
            folder.chmod(0o750)
        ledger = await LocalLedger.open(folder, KEY, now_ms=lambda: 2)
        await ledger.close()
        assert folder.stat().st_mode & 0o777 == (0o750 if made else 0o700)


@pytest.mark.parametrize("is_sos_ours", [True, False], ids=["an sos of ours", "a drill of ours"])
@pytest.mark.parametrize("way", ["adopt", "learn"])
async def test_an_sos_and_a_drill_with_one_id_are_stored_apart(
    world: LocalWorld, is_sos_ours: bool, way: str
) -> None:
    """Their copies were merged: the SOS became a drill, or was not escalated any more."""
    press = a_press(world.at_ms)
    drill = replace(press, drill=True)
    ours, theirs = (press, drill) if is_sos_ours else (drill, press)
    await world.ledger.press(ours, CIRCUMSTANCES)
    copy = cases.opened(theirs, CIRCUMSTANCES, world.at_ms).case
    for _ in range(2):
        if way == "adopt":
            await world.ledger.adopt(copy, (theirs,))
        else:
            await world.ledger.learn(copy, (theirs,))
    await world.again()
    stored = {kept.case.alert.drill: kept for kept in world.ledger.all()}
    sos_alert = stored[False].case.alert
    assert sos_alert.sos_id == companion_press(press).sos_id
    assert stored[False].acting is is_sos_ours
    assert {a.alert_id for a in stored[False].case.attempts.values()} == {sos_alert.alert_id}
    assert await world.ledger.find("t1", "d1", sos_alert.sos_id) == sos_alert
    if way == "adopt" or not is_sos_ours:
        assert stored[True].case.alert.sos_id == press.sos_id
        assert not stored[True].case.attempts.keys() & stored[False].case.attempts.keys()
    else:
        promised = world.ledger.get(copy.alert.alert_id)
        assert promised is not None and promised.case.alert == sos_alert
