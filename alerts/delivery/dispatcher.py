"""The loop that delivers: escalate what is due, claim as many attempts as there are slots, send them, and
record the outcomes.

Each round: `Ledger.advance` begins, unless the one before is under way, then `Ledger.claim` for the channels
that have free slots and whose breaker lets calls through. The slots are taken while the ledger picks
(`alerts.delivery.reservation`): dispatchers that share them never count on the same ones. A round follows at
once when there was more than it could claim, when `wake` is called (a press in this process, an outcome
recorded, a slot given back), and otherwise after at most ``poll_s``.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from alerts.attempt import Channel
from alerts.delivery.observer import DeliveryObserver, NoObserver
from alerts.delivery.recorder import TRIES, Keep, Recorder
from alerts.delivery.reservation import SlotReservation
from alerts.delivery.routes import Permit, ProviderRoute, down
from alerts.delivery.send import Bounds, named, tried
from alerts.ports import DeliveryJob, Ledger, StorageFailure

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
AWAY_POLL_S: Final = 1.0
LEASE_S: Final = 30.0
MARGIN_S: Final = 5.0
"""A call ends this long before its lease: the time to record it, and the drift between two clocks."""
ADVANCE_LIMIT: Final = 50
ESCALATE_PAUSE_S: Final = 0.05
"""After an escalation that changed nothing: each outcome asks for another one."""
LEDGER_TIMEOUT_S: Final = 20.0
STOP_GRACE_S: Final = 12.0
LAST_WORDS_S: Final = 2.0
"""For recording the outcomes that are in memory when a dispatcher stops."""


class Dispatcher:
    """Delivers what is due in ``ledger`` by ``ways`` (`ways_of` the notifiers). `start` begins, `stop` ends
    it.

    Dispatchers of several ledgers in one process share their ways, with slots, breakers and budgets.
    ``by``: a name that no other process has. ``timeout_s``: of one call to a provider. ``clock``: monotonic
    seconds, which go on while the process is frozen. ``keep``: stores outcomes while the ledger is
    unavailable. ``settling_s``: the pause after the ledger has recovered, in which what was done without it
    is imported. ``max_record_tries``: how often one outcome is recorded at most. ``away_poll_s``: from one
    round to the next while the ledger is unavailable.
    """

    def __init__(
        self,
        ledger: Ledger,
        ways: Mapping[Channel, ProviderRoute],
        *,
        by: str,
        timeout_s: float = 10.0,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        meter: DeliveryObserver | None = None,
        keep: Keep | None = None,
        settling_s: float = 0.0,
        max_record_tries: int = TRIES,
        away_poll_s: float = AWAY_POLL_S,
    ) -> None:
        self._ledger: Final = ledger
        self._by: Final = by
        self._timeout_s: Final = timeout_s
        self._lease_s: Final = lease_s
        self._poll_s: Final = poll_s
        self._away_poll_s: Final = away_poll_s
        self._clock: Final = clock
        self._jitter: Final = jitter
        self._meter: Final = meter or NoObserver()
        self._ways: Final = ways
        self._recorder: Final = Recorder(ledger, self._meter, jitter, keep, max_tries=max_record_tries)
        self._awake: Final = asyncio.Event()
        self._sending: Final[set[asyncio.Task[None]]] = set()
        self._settling_s: Final = settling_s
        self._was_away = False
        self._is_reached = False
        """Whether the ledger answered the last escalation that was waited for."""
        self._escalation: asyncio.Task[int] | None = None
        self._escalate_again = False
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def is_running(self) -> bool:
        """Whether the loop runs."""
        return self._loop is not None and not self._loop.done()

    @property
    def sending(self) -> int:
        """How many messages are under way."""
        return len(self._sending)

    @property
    def unrecorded(self) -> int:
        """How many outcomes are in memory only."""
        return self._recorder.waiting

    def start(self) -> None:
        """Begin to deliver."""
        self._recorder.start()
        self._loop = asyncio.ensure_future(self._run())

    def wake(self) -> None:
        """Begin a round now instead of at the next poll. Costs nothing when called often."""
        self._awake.set()

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Claim no more; let the messages under way be sent and recorded, for ``grace_s`` seconds at most.

        What is cancelled then is looked up by the process that takes it over. Is idempotent.
        """
        if self._loop is None:
            return
        self._stopping = True
        self.wake()
        # Wait for a round under way: what it claims no other process can send before its lease is over.
        running = {self._loop} if self._escalation is None else {self._loop, self._escalation}
        await asyncio.wait(running, timeout=grace_s / 3)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_s)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._recorder.stop(min(grace_s, LAST_WORDS_S))

    # --- the loop

    async def _run(self) -> None:
        while not self._stopping:
            pause_s = self._poll_s
            try:
                self._awake.clear()
                await self._settle_down()
                if await self._round():
                    pause_s = 0.0
                self._meter.turned(away=False)
            except (StorageFailure, TimeoutError):
                self._was_away, self._is_reached = True, False
                self._meter.turned(away=True)
                pause_s = self._away_poll_s
            except Exception as error:
                log.error("a round of delivery failed: %s", type(error).__name__)
                self._meter.turned(away=True)
                pause_s = self._away_poll_s
            if not self._stopping:
                await self._rest(pause_s * (0.8 + self._jitter() / 5))

    async def _settle_down(self) -> None:
        if self._was_away and self._settling_s:
            async with asyncio.timeout(LEDGER_TIMEOUT_S):
                await self._ledger.anything_due()  # raises StorageFailure while it is
            await asyncio.sleep(self._settling_s)
        self._was_away = False

    async def _rest(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._awake.wait()
        except TimeoutError:
            pass

    async def _round(self) -> bool:
        """Do one round; return whether there may be more to do at once."""
        now_s = self._clock()
        self._measure(now_s)
        await self._begin_escalation(now_s)
        return not self._stopping and await self._claim()

    async def _begin_escalation(self, now_s: float) -> None:
        """Begin to escalate what is due, unless the escalation before is under way. Raises what that raised.

        Messages that are due do not wait for it: to escalate a thousand alerts takes seconds. The escalation
        is waited for only while it is not known whether the ledger answers.
        """
        task, self._escalation = self._escalation, None
        if task is not None and task.done():
            task.result()
        if task is not None and not task.done():
            self._escalation, self._escalate_again = task, True
            return
        self._escalate_again = False
        self._escalation = asyncio.ensure_future(self._escalate(now_s))
        self._escalation.add_done_callback(self._has_escalated)
        if not self._is_reached:
            task, self._escalation = self._escalation, None
            await task
            self._is_reached = True

    async def _escalate(self, now_s: float) -> int:
        async with asyncio.timeout(LEDGER_TIMEOUT_S):
            changed = await self._ledger.advance(ADVANCE_LIMIT, down(self._ways, now_s))
        if self._is_reached and not changed:
            await asyncio.sleep(ESCALATE_PAUSE_S)
        return changed

    def _has_escalated(self, task: "asyncio.Task[int]") -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._is_reached if failed else (self._escalate_again or task.result()):
            self.wake()

    async def _claim(self) -> bool:
        """Claim attempts and begin to send them; return whether there may be more."""
        with SlotReservation(self._ways, self._clock) as slots:
            if not slots.wanted:
                return False
            claimed_s = self._clock()  # before the claim: the lease begins somewhere within it
            async with asyncio.timeout(LEDGER_TIMEOUT_S):
                jobs = await self._ledger.claim(self._by, slots, self._lease_s)
            bounds = Bounds(self._clock, claimed_s + self._lease_s - MARGIN_S, self._timeout_s)
            for job in jobs:
                permit = slots.hand_over(job.attempt.attempt_id)
                if permit is None:  # it is left to its lease: nothing is sent without a slot
                    log.error("a ledger leased %s without a slot", named(job))
                    continue
                self._begin(job, permit, bounds)
            claimed = Counter(job.attempt.channel for job in jobs)
            is_cut_off = any(claimed[one.channel] >= one.most for one in slots.wanted)
            return is_cut_off or bool(jobs and slots.refused)

    def _begin(self, job: DeliveryJob, permit: Permit, bounds: Bounds) -> None:
        task = asyncio.ensure_future(self._deliver(job, permit, bounds))
        self._sending.add(task)
        task.add_done_callback(lambda task: self._done(task, job))
        # A task that is cancelled before it begins runs none of its own code.
        task.add_done_callback(lambda _: permit.end(None, self._clock()))

    async def _deliver(self, job: DeliveryJob, permit: Permit, bounds: Bounds) -> None:
        found = None
        try:
            found = await tried(self._ways[job.attempt.channel], job, bounds, self._meter)
        finally:
            asked = found is not None and found.report is None and found.is_asked
            permit.end(found.outcome if asked and found else None, self._clock())
        if found is not None:
            await self._recorder.record(found)

    def _done(self, task: asyncio.Task[None], job: DeliveryJob) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the delivery of %s failed: %s", named(job), type(error).__name__)
        self.wake()

    def _measure(self, now_s: float) -> None:
        for channel, way in self._ways.items():
            self._meter.breaker(channel, way.notifier.provider, way.breaker.state(now_s))
            self._meter.busy(channel, way.taken)
            self._meter.hosts_down(channel, way.hosts_down(now_s))
