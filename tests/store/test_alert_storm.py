"""Everything at once by several processes: presses, answers, claims, callbacks; nothing lost or doubled."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid5

import pytest

from alerts.alert import OPEN, Acknowledged, FalseAlarm, Noted, Resolved
from alerts.attempt import Accepted, Channel, Retryable, Status, Unsure, rank
from alerts.ports import StorageUnavailable
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.reads import ChangedAlerts, Explanation
from realtime.store.db.database import Database
from tests.alerts.ledger_contract import CIRCUMSTANCES, OPERATOR, a_press, delivered, with_provider
from tests.alerts.slots import UpTo
from tests.store.clock import DatabaseClock

DRIVERS = [f"d{n}" for n in range(6)]
STEPS = 120


class Storm(DatabaseClock):
    """Some processes that do whatever comes to their mind, by one seed."""

    def __init__(self, url: str, databases: list[Database], seed: int) -> None:
        super().__init__(url)
        self.rng = random.Random(seed)
        self.databases = databases
        self.ledgers = [PostgresLedger(db, random.Random(seed).random) for db in databases]
        self.alert_ids: set[UUID] = set()
        self.accepted: dict[str, str] = {}
        """Provider ids by the attempt that was settled with them."""
        self.reported: set[str] = set()

    async def run(self) -> None:
        """Let every process act."""
        await asyncio.gather(*(self._act(ledger, n) for n, ledger in enumerate(self.ledgers)))

    async def _act(self, ledger: PostgresLedger, at: int) -> None:
        acts = [self._press, self._press, self._answer, self._send, self._send, self._report, self._advance]
        for _ in range(STEPS):
            await self.rng.choice(acts)(ledger, at)

    async def _press(self, ledger: PostgresLedger, at: int) -> None:
        driver, number = self.rng.choice(DRIVERS), self.rng.randrange(6)
        sos_id = uuid5(UUID(int=0), f"{driver}{number}")
        press = a_press(1, driver=driver, sos_id=sos_id, drill=number == 5)
        taken = await ledger.press(press, CIRCUMSTANCES)
        self.alert_ids.add(taken.alert.alert_id)

    async def _answer(self, ledger: PostgresLedger, at: int) -> None:
        if not self.alert_ids:
            return
        event = self.rng.choice(
            [Acknowledged(OPERATOR, "page"), Noted(OPERATOR, "x"), Resolved(OPERATOR), FalseAlarm(OPERATOR)]
        )
        alert_id = self.rng.choice(sorted(self.alert_ids))
        assert await ledger.apply(alert_id, event) is not None

    async def _send(self, ledger: PostgresLedger, at: int) -> None:
        for job in await ledger.claim(f"w{at}", UpTo(most=self.rng.randint(1, 5)), 30.0):
            provider_id = f"SM{len(self.accepted)}-{at}"
            accepted = Accepted(provider_id, "queued")
            outcome = self.rng.choice([accepted, accepted, Retryable("busy"), Unsure("timeout")])
            if isinstance(outcome, Accepted):
                self.accepted[provider_id] = str(job.attempt.attempt_id)
                if self.rng.random() < 0.5:  # its callback is faster
                    await self._report_of(ledger, provider_id)
            await ledger.settle(with_provider(job), outcome)

    async def _report(self, ledger: PostgresLedger, at: int) -> None:
        if self.accepted:
            await self._report_of(ledger, self.rng.choice(sorted(self.accepted)))

    async def _report_of(self, ledger: PostgresLedger, provider_id: str) -> None:
        self.reported.add(provider_id)
        await ledger.report(delivered(provider_id))

    async def _advance(self, ledger: PostgresLedger, at: int) -> None:
        await ledger.advance(
            self.rng.randint(1, 10), self.rng.choice([frozenset(), frozenset({Channel.SMS})])
        )


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(4):
            db = await Database.open(Settings(database_url=database_url, db_timeout_s=20, db_pool_size=4))
            stack.push_async_callback(db.close)
            opened.append(db)
        yield opened


async def explained(db: Database) -> list[Explanation]:
    alerts = await reads.list_(db, "t1", limit=1_000)
    told = [await reads.explain(db, "t1", alert.alert_id) for alert in alerts]
    return [one for one in told if one is not None]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_at_once_nothing_is_lost_or_doubled(
    database_url: str, databases: list[Database], seed: int
) -> None:
    storm = Storm(database_url, databases, seed)
    changes = ChangedAlerts(databases[0])
    await changes.look()
    told: dict[UUID, int] = {}
    running = asyncio.create_task(storm.run())
    while not running.done():
        told |= {alert.alert_id: alert.version for alert in await changes.look()}
        await asyncio.sleep(0.01)
    await running
    told |= {alert.alert_id: alert.version for alert in await changes.look()}
    everything = await explained(databases[0])
    assert told == {one.alert.alert_id: one.alert.version for one in everything}
    assert {one.alert.alert_id for one in everything} == storm.alert_ids
    open_ones = [(o.alert.driver, o.alert.drill) for o in everything if o.alert.state in OPEN]
    assert len(open_ones) == len(set(open_ones))
    presses = [(press.driver, press.sos_id) for one in everything for press in one.presses]
    assert len(presses) == len(set(presses))
    for one in everything:
        versions = [line.version for line in one.audit]
        assert versions == sorted(versions)
        assert one.alert.version == versions[-1]
        assert one.alert.presses == len(one.presses)
    by_id = {str(a.attempt_id): a for one in everything for a in one.attempts}
    for provider_id in storm.reported:
        assert rank(by_id[storm.accepted[provider_id]].status) >= rank(Status.DELIVERED)


async def test_a_thousand_presses_of_a_phone_leave_connections_for_others(
    database_url: str, databases: list[Database]
) -> None:
    storm = Storm(database_url, databases, 1)
    ledger = storm.ledgers[0]
    flood = [asyncio.create_task(ledger.press(a_press(1), CIRCUMSTANCES)) for _ in range(200)]
    same = a_press(1)
    flood += [asyncio.create_task(ledger.press(same, CIRCUMSTANCES)) for _ in range(800)]
    await asyncio.sleep(0)
    other = await ledger.press(a_press(1, driver="d2"), CIRCUMSTANCES)
    assert other.created
    assert sum(task.done() for task in flood) < 200
    taken = await asyncio.gather(*flood)
    assert len({t.alert.alert_id for t in taken}) == 1
    assert sum(t.created for t in taken) == 1
    assert {t.durability for t in taken} == {"committed"}


async def test_whoever_shares_a_press_is_not_harmed_by_one_who_leaves(
    database_url: str, databases: list[Database]
) -> None:
    ledger = PostgresLedger(databases[0])
    press = a_press(1)
    leaving = asyncio.create_task(ledger.press(press, CIRCUMSTANCES))
    await asyncio.sleep(0)
    staying = asyncio.create_task(ledger.press(press, CIRCUMSTANCES))
    await asyncio.sleep(0)
    leaving.cancel()
    taken = await staying
    assert taken.durability == "committed"
    assert await ledger.find("t1", "d1", press.sos_id) == taken.alert


async def test_a_press_that_fails_fails_for_all_who_share_it_and_may_be_sent_again(
    database_url: str, databases: list[Database]
) -> None:
    ledger = PostgresLedger(databases[0])
    press = a_press(1)
    await databases[0].close()
    results = await asyncio.gather(
        *(ledger.press(press, CIRCUMSTANCES) for _ in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == [StorageUnavailable] * 5
    other = PostgresLedger(databases[1])
    assert (await other.press(press, CIRCUMSTANCES)).created
