"""A ledger and a way out with failure switches: the ports that delivery stands on."""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from alerts.alert import Alert, Kind, Press, Severity, State
from alerts.attempt import (
    Accepted,
    Attempt,
    Channel,
    Outcome,
    Permanent,
    Purpose,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.leases import lane_of
from alerts.policy import Circumstances, Contact, Policy, PolicyCopy
from alerts.ports import Applied, DeliveryJob, Reservation, StorageUnavailable, Taken


class Clock:
    """Seconds that go on only when they are told to, shared by everybody in a test."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_by(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds


def an_alert() -> Alert:
    """An active one."""
    return Alert(
        alert_id=uuid4(),
        tenant="t1",
        vendor="v1",
        driver="d1",
        sos_id=uuid4(),
        kind=Kind.SOS,
        severity=Severity.CRITICAL,
        state=State.ACTIVE,
        version=1,
        pressed_ms=0,
        raised_ms=0,
        active_since_ms=0,
    )


def an_attempt(
    channel: Channel, alert: Alert, contact_id: str = "c1", purpose: Purpose = Purpose.ALERT
) -> Attempt:
    """One that is due."""
    return Attempt(
        attempt_id=uuid4(),
        alert_id=alert.alert_id,
        tenant=alert.tenant,
        purpose=purpose,
        round=1,
        step=1,
        contact_id=contact_id,
        channel=channel,
        number=1,
        status=Status.DUE,
        due_ms=0,
        created_ms=0,
    )


class FakeLedger:
    """Attempts in memory, leased by the test's clock. ``away``: methods that raise StorageFailure."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.alert = an_alert()
        self.purposes = [Purpose.ALERT]
        """Of what falls due next, one after the other."""
        self.webhook_url: str | None = None
        """Of whom it falls due for next."""
        self._urls: dict[UUID, str | None] = {}
        self.rows: dict[UUID, Attempt] = {}
        self.leases: dict[UUID, float] = {}
        self.settled: list[tuple[UUID, Outcome]] = []
        self.providers: list[str | None] = []
        self.reports: list[StatusReport] = []
        self.downs: list[frozenset[Channel]] = []
        self.claimed: Counter[Channel] = Counter()
        self.looks = 0
        self.away: set[str] = set()
        self.broken: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.elsewhere = False
        """Whether another process may have sent what is claimed."""
        self.opted_out = False
        """Whether whom it is for has said STOP."""
        self.poison: UUID | None = None
        """The attempt that can never be settled."""

    def due(self, *channels: Channel) -> list[UUID]:
        """An attempt falls due in each of ``channels``."""
        purposes = itertools.cycle(self.purposes)
        made = [an_attempt(channel, self.alert, purpose=next(purposes)) for channel in channels]
        self._urls |= dict.fromkeys([attempt.attempt_id for attempt in made], self.webhook_url)
        self.rows |= {attempt.attempt_id: attempt for attempt in made}
        return [attempt.attempt_id for attempt in made]

    def outcomes(self, attempt_id: UUID) -> list[Outcome]:
        """What was recorded of one."""
        return [outcome for settled, outcome in self.settled if settled == attempt_id]

    def _reached(self, method: str) -> None:
        if method in self.away | self.broken:
            self.refused[method] += 1
        if method in self.away:
            raise StorageUnavailable("the storage is unavailable, try again")
        if method in self.broken:
            raise RuntimeError("a fault of ours")

    async def advance(self, limit: int, down: frozenset[Channel] = frozenset()) -> int:
        """Nothing ever falls due by itself."""
        self._reached("advance")
        self.downs.append(down)
        return 0

    async def anything_due(self) -> bool:
        """As the port says."""
        self._reached("anything_due")
        self.looks += 1
        return True

    async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
        """As the port says."""
        self._reached("claim")
        now_s = self._clock()
        left = Counter({one.channel: one.most for one in slots.wanted})
        jobs = []
        for attempt in list(self.rows.values()):
            is_free = self.leases.get(attempt.attempt_id, 0.0) <= now_s
            is_due = attempt.status in (Status.DUE, Status.SENDING, Status.UNSURE)
            if not (is_free and is_due and left[attempt.channel]):
                continue
            job = self._job(attempt)
            if slots.take(attempt.attempt_id, lane_of(attempt, job.alert, job.contact)):
                left[attempt.channel] -= 1
                self.claimed[attempt.channel] += 1
                self.leases[attempt.attempt_id] = now_s + lease_s
                self.rows[attempt.attempt_id] = replace(attempt, status=Status.SENDING, lease_by=by)
                jobs.append(job)
        return jobs

    def _job(self, attempt: Attempt) -> DeliveryJob:
        url = self._urls.get(attempt.attempt_id)
        contact = Contact(attempt.contact_id, "Ann", phone="+447700900001", webhook_url=url)
        copy = PolicyCopy(Policy(steps=()), (contact,))
        return DeliveryJob(attempt, self.alert, contact, copy, self.elsewhere, self.opted_out)

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        """The outcome is kept; what may be tried again is, at once."""
        self._reached("settle")
        attempt_id = job.attempt.attempt_id
        if attempt_id == self.poison:
            raise StorageUnavailable("it will not have it")
        self.settled.append((attempt_id, outcome))
        self.providers.append(job.attempt.provider)
        row = self.rows[attempt_id]
        match outcome:
            case Accepted():
                row = replace(row, status=Status.SENT, provider_id=outcome.provider_id, repeat=outcome.repeat)
            case Permanent():
                row = replace(row, status=Status.FAILED, reason=outcome.reason)
            case Retryable():
                row = replace(row, status=Status.DUE, number=row.number + 1)
            case Unsure():
                row = replace(row, status=Status.UNSURE)
        self.rows[attempt_id] = row
        self.leases.pop(attempt_id, None)

    async def report(self, report: StatusReport) -> bool:
        """Kept."""
        self._reached("report")
        self.reports.append(report)
        return True

    async def press(self, press: Press, circumstances: Circumstances) -> Taken:
        """Not of delivery's concern."""
        raise AssertionError

    async def apply(self, alert_id: UUID, event: Any) -> Applied | None:
        """Not of delivery's concern."""
        raise AssertionError

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """Not of delivery's concern."""
        raise AssertionError

    async def answered(self, attempt_id: UUID) -> None:
        """Not of delivery's concern."""
        raise AssertionError


class FakeProvider:
    """A way out. It takes everything, or does what ``faults`` say, one a send; ``hang`` keeps sends until
    it is set.

    ``inbox``: what arrived at the provider, sends whose reply was lost included.
    """

    provider = "fake"

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.inbox: list[DeliveryJob] = []
        self.faults: deque[str | Outcome] = deque()
        self.always: str | Outcome | None = None
        self.knows_what_it_has = True
        self.hang: asyncio.Event | None = None
        self.hangs_for: Callable[[DeliveryJob], bool] = lambda job: True
        self.begun = 0
        self.most_at_once = 0
        self._at_once = 0
        self.looked_up = 0
        self.on_look_up: Callable[[], None] = lambda: None

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Take it, or fail as told."""
        self.begun += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.hang is not None and self.hangs_for(job):
                async with asyncio.timeout(timeout_s):
                    await self.hang.wait()
            return self._answer(job)
        except TimeoutError:
            return Unsure("timeout")
        finally:
            self._at_once -= 1

    def _answer(self, job: DeliveryJob) -> Outcome:
        fault = self.faults.popleft() if self.faults else self.always
        match fault:
            case None:
                self.inbox.append(job)
                return Accepted(f"P{len(self.inbox)}", "queued")
            case "accept_then_lose_reply":
                self.inbox.append(job)
                return Unsure("reply_lost")
            case "raise":
                raise RuntimeError("a notifier that breaks its contract")
            case Accepted() | Permanent() | Retryable() | Unsure():
                return fault
        raise AssertionError(fault)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """What the inbox says, when it can be asked."""
        self.looked_up += 1
        self.on_look_up()
        if not self.knows_what_it_has:
            return Unsure("no_look_up")
        for number, had in enumerate(self.inbox, 1):
            if had.attempt.attempt_id == job.attempt.attempt_id:
                return StatusReport(self.provider, f"P{number}", Status.DELIVERED, "delivered")
        return None

    async def close(self) -> None:
        """Nothing to let go of."""
