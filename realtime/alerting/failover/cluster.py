"""The processes that keep cases: what one is told (an answer, a provider's word) reaches in a second whoever
acts on the alert, since copies merge (`realtime.alerting.failover.exchange`); and one acts at a time
(`realtime.alerting.failover.election`), another when that one is gone.

With Redis away each process is alone with what it has, and with what it has seen of the others; with Postgres
away as well for long enough it acts on all of that (`realtime.alerting.failover.partition_detector`).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from alerts.journal.ledger import LocalLedger
from alerts.journal.peer_visibility import Unseen
from alerts.journal.records import JournalCase
from alerts.ports import StorageFailure
from realtime.aio import end
from realtime.alerting.failover.election import FROZEN_S, ORPHANED_S, CaseView, Role, turn_of
from realtime.alerting.failover.exchange import ReplicaExchange
from realtime.alerting.failover.handback import Handback
from realtime.alerting.failover.lease_table import LeaseTable
from realtime.alerting.failover.leases import Leases
from realtime.alerting.failover.partition_detector import PartitionDetector
from realtime.alerting.failover.replicas import MAX_BYTES, field_of
from realtime.bus.bus import REDIS_FAULTS
from realtime.metrics import instruments
from realtime.redis.client import Client
from realtime.store.people.replies import LastMessage

log = logging.getLogger(__name__)

SERVED: Final = "{sos:copies}:served"
"""Is there while a process says each second that it delivers alerts from Postgres."""
SERVED_MS: Final = 4_000
BEAT_S: Final = 1.0
SHARE_S: Final = 0.5
ROUND_S: Final = 3.0
READ_S: Final = 0.25
"""How long a request waits for what the other processes have shown since the last beat."""


class Cluster:
    """`realtime.alerting.ports.Copies`. `start` begins to look round each second; `withdraw` what is
    imported.

    ``process``: a name no other process has. ``is_stored``: whether Postgres is there: an orphaned case is
    brought in then, and not acted upon. ``delivers``: whether this process delivers from Postgres then.
    ``max_replica_bytes``: a larger case is not shown to the others.
    """

    def __init__(
        self,
        client: Client,
        local: LocalLedger,
        *,
        process: str,
        key: bytes,
        clock: Callable[[], float],
        is_stored: Callable[[], bool],
        delivers: bool = False,
        max_replica_bytes: int = MAX_BYTES,
    ) -> None:
        self._client: Final = client
        self._local: Final = local
        self._me: Final = process
        self._clock: Final = clock
        self._is_stored: Final = is_stored
        self._delivers: Final = delivers
        self._holding: Final = LeaseTable(Leases(client, process), process, clock)
        self._exchange: Final = ReplicaExchange(client, process, key, max_replica_bytes=max_replica_bytes)
        self._seen: Final = self._exchange.seen
        self._alone: Final = PartitionDetector(process, delivers=delivers, clock=clock)
        self._deference: Final = Handback(clock)
        self._looked_s = clock()
        self._read_lock: Final = asyncio.Lock()
        self._reads_asked = 0
        self._reads_answered = 0
        self._unmerged: list[JournalCase] = []
        """Copies that a request has read; the next beat merges them into ours."""
        self._is_up = True
        self._is_served = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look round."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Look no more; what is shown stays shown."""
        await end(self._tasks)

    @property
    def is_up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._is_up

    @property
    def is_served(self) -> bool:
        """Whether some process delivers from Postgres, as far as Redis knew when it last answered."""
        return self._is_served

    @property
    def stands_in(self) -> bool:
        """Whether Redis and Postgres have been away for so long that it acts on all that it knows."""
        return self._alone.stands_in

    def unseen(self) -> Unseen | None:
        """Whether others may act on the same cases out of sight."""
        return self._alone.unseen

    def may_send(self) -> bool:
        """Whether it has looked round lately: who was frozen does so before it sends anything."""
        return self._clock() - self._looked_s <= FROZEN_S

    def left_to_journals(self) -> list[UUID]:
        """What is not to be sent from Postgres now: a journal has sent of it, or may, and still has it."""
        ours = self._local.all()
        waiting = [
            kept for kept in (*ours, *(copy.kept for copy in self._seen)) if kept.acting or kept.presses
        ]
        acted = {kept.case.alert.alert_id for kept in ours if kept.acting}
        pressed = {kept.case.alert.alert_id for kept in waiting}
        acted |= pressed & self._holding.held
        return self._deference.left(acted, pressed, is_stored=self._is_stored())

    def is_anothers(self, alert_id: UUID) -> bool:
        """Whether another process acts on it, and will bring it in."""
        return self._holding.is_anothers(alert_id)

    # --- copies

    async def share(self, kept: JournalCase) -> bool:
        """Show the others a case of ours; whether they can have it now."""
        if not self._is_up:
            return False  # it is shown as soon as Redis is back
        try:
            async with asyncio.timeout(SHARE_S):
                return await self._exchange.show([kept])
        except (TimeoutError, *REDIS_FAULTS):
            self._lost()
            return False

    def share_later(self, kept: JournalCase) -> None:
        """The others have it from Postgres as well: they are shown it when something happens to it."""
        self._exchange.take_as_shown(kept)

    async def read_anew(self) -> None:
        """Read what the others have shown until now, for `READ_S` at most; never raises.

        One read serves all requests that were waiting when it began.
        """
        if not self._is_up:
            return
        self._reads_asked += 1
        request = self._reads_asked
        try:
            async with asyncio.timeout(READ_S), self._read_lock:
                if self._reads_answered >= request:
                    return
                served = self._reads_asked
                async for copy in self._exchange.read(self._ours()):
                    self._unmerged.append(copy.kept)
                self._reads_answered = served
        except TimeoutError:
            return  # the next beat finds whether Redis is unavailable
        except REDIS_FAULTS:
            self._lost()

    async def withdraw(self, *alert_ids: UUID) -> None:
        """Postgres has them."""
        self._holding.forget(alert_ids)
        others = {alert_id: self._exchange.drop(alert_id) for alert_id in alert_ids}
        try:
            async with asyncio.timeout(SHARE_S):
                await self._exchange.hide(*(field_of(alert_id, self._me) for alert_id in alert_ids))
                # What they knew was merged into ours. A copy of a process that is gone for good nobody
                # else would remove, and with Postgres away again it would be acted on, over long ago.
                orphans = await self._holding.release(alert_ids)
                await self._exchange.hide(*(field for one in orphans for field in others[one]))
        except (TimeoutError, *REDIS_FAULTS):
            return  # the next look round withdraws what is not kept any more

    def copy_of(self, alert_id: UUID) -> JournalCase | None:
        """A case by its id."""
        return self._seen.copy_of(alert_id)

    def find(self, tenant: str, driver: str, sos_id: UUID) -> JournalCase | None:
        """The case that a press went into."""
        return self._seen.find(tenant, driver, sos_id)

    def open_of(self, tenant: str, driver: str, drill: bool) -> JournalCase | None:
        """The driver's open case."""
        return self._seen.open_of(tenant, driver, drill)

    def of_provider(self, provider: str, provider_id: str) -> JournalCase | None:
        """The case of a message that a provider speaks of."""
        return self._seen.of_provider(provider, provider_id)

    def last_asked(self, phone: str) -> list[LastMessage]:
        """The last message to a number about an open alert."""
        return self._seen.last_asked(phone)

    # --- turns

    async def turn(self, *alert_ids: UUID) -> None:
        """Cases of ours were pressed or taken up: act on each, unless another does. Raises StorageFailure."""
        found = {alert_id: kept for alert_id in alert_ids if (kept := self._local.get(alert_id)) is not None}
        if self._is_up:
            try:
                async with asyncio.timeout(SHARE_S):
                    await self._holding.look_at(list(found))
                    free = [one for one, kept in found.items() if self._pressed(one, kept) is Role.TRY]
                    await self._holding.take(free)
            except (TimeoutError, *REDIS_FAULTS):
                self._lost()
        acts = {kept.case.alert.alert_id: self._pressed(one, kept) is Role.ACT for one, kept in found.items()}
        await asyncio.gather(*(self._local.act(alert_id, acting) for alert_id, acting in acts.items()))

    def _pressed(self, alert_id: UUID, kept: JournalCase) -> Role:
        view = CaseView(self._is_up, self._holding.holder_of(alert_id), kept.acting, pressed=True)
        return turn_of(view, self._me)

    async def beat(self) -> None:
        """Look round once: show, read, merge, take turns. Never raises for what is away."""
        began_s = self._clock()
        try:
            await self._look_round()
        except StorageFailure as error:
            log.error("the journal cannot take what another process knows: %s", type(error).__name__)
        now_s = self._clock()
        if now_s - began_s <= ROUND_S + FROZEN_S / 2:  # who was frozen meanwhile has seen what was long ago
            self._looked_s = now_s
        instruments.COPIES_SEEN.set(len(self._seen))

    async def _look_round(self) -> None:
        heard, self._unmerged = self._unmerged, []
        turns: dict[UUID, Role] = {}
        ours: Mapping[UUID, JournalCase] = {}
        try:
            async with asyncio.timeout(ROUND_S):  # for Redis alone: our own disk may be slow
                await self._trade(heard)
                await self._hear_served()
                ours = self._ours()
                turns = await self._turns()
            if not self._is_up:
                log.info("redis has the copies again")
            self._is_up = True
        except (TimeoutError, *REDIS_FAULTS):
            self._lost()
        await asyncio.gather(*(self._local.learn(one.case, one.presses, one.audit) for one in heard))
        # A case that has become ours meanwhile (a press, an SOS that got its companion id) was decided upon
        # as one of another process: it would rest here.
        became_ours = self._ours().keys() - ours.keys()
        await self._take({one: role for one, role in turns.items() if one not in became_ours})
        self._alone.look(sees=self._is_up or self._is_stored())
        if self.stands_in:
            await self._stand_in()

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except Exception as error:  # its own text may quote a message
                log.error("looking at the others' alerts failed: %s", type(error).__name__)
                instruments.COPIES_SKIPPED.labels("failed").inc()
            await asyncio.sleep(BEAT_S)

    # --- how

    def _lost(self) -> None:
        if self._is_up:
            log.warning("redis does not take the copies: this process is alone with what it has")
        self._is_up = False
        self._holding.lost()

    async def _trade(self, heard: list[JournalCase]) -> None:
        """Show what is new of ours; put what is new of the others into ``heard``, as far as this comes."""
        await self._exchange.show([kept for kept in self._local.all() if self._exchange.is_new(kept)])
        async with self._read_lock:
            async for copy in self._exchange.read(self._ours()):
                heard.append(copy.kept)  # noqa: PERF401  what was read before a timeout counts

    def _ours(self) -> dict[UUID, JournalCase]:
        return {kept.case.alert.alert_id: kept for kept in self._local.all()}

    def _known(self, ours: Mapping[UUID, JournalCase]) -> list[UUID]:
        return list(ours.keys() | {copy.kept.case.alert.alert_id for copy in self._seen})

    async def _hear_served(self) -> None:
        if self._delivers and self._is_stored():
            await self._client.set(SERVED, self._me, px=SERVED_MS)
            self._is_served = True
        else:
            self._is_served = bool(await self._client.exists(SERVED))

    def _is_served_of(self, kept: JournalCase | None) -> bool:
        """Whether Postgres had all of it before it went away for this process alone."""
        return self._is_served and not self._is_stored() and kept is not None and not kept.presses

    async def _turns(self) -> dict[UUID, Role]:
        """What to do with each case, by its lease; those that may be taken are."""
        ours, holding = self._ours(), self._holding
        known = self._known(ours)
        await holding.look(known)
        await holding.renew(alert_id for alert_id in known if not self._is_served_of(ours.get(alert_id)))
        turns = {alert_id: self._turn(alert_id, ours.get(alert_id)) for alert_id in known}
        # With Postgres there nobody has to act on an orphan: the importer is about to bring it in.
        wanted = [
            alert_id
            for alert_id, turn in turns.items()
            if turn is Role.TRY and (alert_id in ours or not self._is_stored())
        ]
        await holding.take(wanted)
        return turns | {
            alert_id: Role.REST if holding.is_anothers(alert_id) else Role.ACT for alert_id in wanted
        }

    def _turn(self, alert_id: UUID, kept: JournalCase | None) -> Role:
        acting = kept is not None and kept.acting
        holder, free_s = self._holding.holder_of(alert_id), self._holding.free_s(alert_id)
        if kept is None and self._is_answered_elsewhere(alert_id):
            free_s = ORPHANED_S
        return turn_of(CaseView(True, holder, acting, free_s, served=self._is_served_of(kept)), self._me)

    def _is_answered_elsewhere(self, alert_id: UUID) -> bool:
        """Whether a process that has lost Postgres keeps an event of an alert that this one delivers from
        Postgres: it is imported here without the wait for a process that may only be slow, because the alert
        is escalated until Postgres has the answer.
        """
        if not (self._delivers and self._is_stored()):
            return False
        copies = [copy.kept for copy in self._seen.of_alert(alert_id)]
        return any(one.audit for one in copies) and not any(one.acting or one.presses for one in copies)

    async def _take(self, turns: Mapping[UUID, Role]) -> None:
        ours = self._ours()
        homeless = [alert_id for alert_id, turn in turns.items() if turn is Role.TRY]
        follows = [
            self._follow(one, turn, ours.get(one)) for one, turn in turns.items() if turn is not Role.TRY
        ]
        await asyncio.gather(*follows, *map(self._bring_home, homeless))

    async def _stand_in(self) -> None:
        """Nobody is seen: act on all that is known here."""
        ours = self._ours()
        for alert_id in self._known(ours):
            kept = ours.get(alert_id)
            acting = kept is not None and kept.acting
            await self._follow(
                alert_id, turn_of(CaseView(False, None, acting, stands_in=True), self._me), kept
            )

    async def _follow(self, alert_id: UUID, turn: Role, kept: JournalCase | None) -> None:
        if kept is not None:
            if kept.acting is not (turn is Role.ACT):
                instruments.TURNS.labels("taken" if turn is Role.ACT else "given_up").inc()
            await self._local.act(alert_id, turn is Role.ACT)
        elif turn is Role.ACT:
            tenants = {copy.kept.case.alert.tenant for copy in self._seen.of_alert(alert_id)}
            log.warning(
                "alert %s of tenant %s is taken over: its process has terminated",
                alert_id,
                ", ".join(tenants),
            )
            instruments.TURNS.labels("taken").inc()
            await self._adopt(alert_id, acting=True)

    async def _bring_home(self, alert_id: UUID) -> None:
        """Make one of the copies of a process that is gone, for the importer."""
        await self._adopt(alert_id)
        self._holding.forget([alert_id])

    async def _adopt(self, alert_id: UUID, *, acting: bool = False) -> None:
        """Make one of all copies. It is acted upon, if it is to be, once that has all that is known.

        A drill and an SOS with one id are two (`alerts.press_ids`); the drill first, which keeps the id.
        """
        adopted = set()
        for copy in sorted(self._seen.of_alert(alert_id), key=lambda copy: not copy.kept.case.alert.drill):
            ours = await self._local.adopt(copy.kept.case, copy.kept.presses, copy.kept.audit)
            adopted.add(ours.case.alert.alert_id)
        if acting:
            for one in adopted:
                await self._local.act(one, True)
