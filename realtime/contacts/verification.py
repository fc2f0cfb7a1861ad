"""Codes that verify a contact's address: minted, sent once, tried.

They go out by the notifiers of the alerts, and nothing else of theirs: never claimed from a ledger, with a
budget of their own (`realtime.store.people.verification_codes`) and few at a time, so that no number of them
is in the way of an SOS.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID, uuid4

from alerts.addresses.phone import zone_for
from alerts.alert import Alert, Kind, Severity, State
from alerts.attempt import Attempt, Channel, Outcome, Permanent, Purpose, Retryable, Status, Unsure
from alerts.policy import Contact as ToTell
from alerts.policy import Policy, PolicyCopy
from alerts.ports import DeliveryJob, Notifier
from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.people import verification_codes
from realtime.store.people.contacts import ContactRecord
from realtime.store.people.verification_codes import CodeChannel, CodeResult

log = logging.getLogger(__name__)

SLOTS: Final = 2
"""Codes of one channel on their way at once; further ones are refused as overloaded."""
TRIES: Final = 3
OVERTIME_S: Final = 1.0
"""What a notifier may take beyond the time it was given before it is given up."""
PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 3.0
"""A provider that names a longer time is not waited for: the person asks again."""
DIGITS: Final = 6


class CodeSender:
    """Sends and compares codes. ``secret`` keys their digests; ``notifiers``: the ways out that are set
    up.
    """

    def __init__(
        self,
        db: Database,
        notifiers: Mapping[Channel, Notifier],
        secret: bytes,
        *,
        timeout_s: float,
        now_ms: Callable[[], int],
        pause_s: float = PAUSE_S,
        budget: verification_codes.CodeBudget = verification_codes.CODE_BUDGET,
    ) -> None:
        self._db: Final = db
        self._notifiers: Final = notifiers
        self._timeout_s: Final = timeout_s
        self._key: Final = hmac.digest(secret, b"wayguard contact codes", "sha256")
        self._now_ms: Final = now_ms
        self._pause_s: Final = pause_s
        self._budget: Final = budget
        self._under_way: Final = Counter[CodeChannel]()

    async def send(self, tenant: str, contact: ContactRecord, channel: CodeChannel) -> int:
        """Send a new code to the contact's address; until when it is good. The one before it is void.

        Raises Refused: invalid when there is no such address or it takes no messages, rate_limited,
        overloaded, unavailable when no provider has said that it took it.
        """
        if Channel(channel) not in self._notifiers:
            raise Refused(Code.UNAVAILABLE, f"no provider is configured for {channel}")
        address = address_of(contact, channel)
        if address is None:
            raise Refused(Code.INVALID, f"the contact has no address for {channel}")
        if self._under_way[channel] >= SLOTS:  # before anything of the budget is spent
            raise Refused(Code.OVERLOADED, "too many codes are on their way", retry_after_s=2)
        self._under_way[channel] += 1
        try:
            return await self._send(tenant, contact, channel, address)
        finally:
            self._under_way[channel] -= 1

    async def _send(self, tenant: str, contact: ContactRecord, channel: CodeChannel, address: str) -> int:
        code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        digest = self._digest(contact.contact_id, channel, code)
        kept = await verification_codes.keep(
            self._db, tenant, contact.contact_id, channel, address, digest, self._budget
        )
        if kept is None:
            raise Refused(Code.NOT_FOUND, "no such contact")
        if not kept.send:
            instruments.CONTACT_CODES.labels(channel, "withheld").inc()
            return kept.expires_ms
        job = self._job(tenant, contact, channel, code)
        outcome = await self._tried(job)
        instruments.CONTACT_CODES.labels(channel, type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Permanent):
            raise Refused(Code.INVALID, "the address does not take messages")
        if isinstance(outcome, Retryable):
            raise Refused(
                Code.UNAVAILABLE, "the code could not be sent", retry_after_s=outcome.retry_after_s or 10
            )
        return kept.expires_ms  # taken, or perhaps taken: then it is not sent twice

    async def test(self, tenant: str, contact: ContactRecord, channel: CodeChannel, by: str) -> None:
        """Send a message that says that it is a test; ``by``: the name of who tests. Counts as a code.

        Raises Refused: invalid when the address is missing, not verified or opted out, rate_limited,
        overloaded, unavailable.
        """
        if Channel(channel) not in self._notifiers:
            raise Refused(Code.UNAVAILABLE, f"no provider is configured for {channel}")
        address = usable_address_of(contact, channel)
        if self._under_way[channel] >= SLOTS:
            raise Refused(Code.OVERLOADED, "too many codes are on their way", retry_after_s=2)
        self._under_way[channel] += 1
        try:
            if not await verification_codes.spend(
                self._db, tenant, contact.contact_id, address, self._budget
            ):
                instruments.CONTACT_CODES.labels(channel, "withheld").inc()
                return
            outcome = await self._tried(self._job(tenant, contact, channel, by, Purpose.TEST))
        finally:
            self._under_way[channel] -= 1
        instruments.CONTACT_CODES.labels(channel, type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Permanent):
            raise Refused(Code.INVALID, "the address does not take messages")
        if isinstance(outcome, Retryable):
            raise Refused(
                Code.UNAVAILABLE, "the message could not be sent", retry_after_s=outcome.retry_after_s or 10
            )

    async def _tried(self, job: DeliveryJob) -> Outcome:
        """What came of it after a few tries; a provider that names a long wait is not waited for."""
        for _ in range(TRIES - 1):
            outcome = await self._once(job)
            if not isinstance(outcome, Retryable):
                return outcome
            pause_s = outcome.retry_after_s or self._pause_s
            if pause_s > LONGEST_PAUSE_S:
                return outcome
            await asyncio.sleep(pause_s)
        return await self._once(job)

    async def _once(self, job: DeliveryJob) -> Outcome:
        """Try once. Whatever goes wrong on the way may have been sent."""
        notifier = self._notifiers[job.attempt.channel]
        try:
            async with asyncio.timeout(self._timeout_s + OVERTIME_S):
                return await notifier.send(job, self._timeout_s)
        except TimeoutError:
            return Unsure("timeout")
        except Exception as error:
            log.error("a code by %s failed: %s", notifier.provider, type(error).__name__)
            return Unsure("notifier_failed")

    async def verify(
        self, tenant: str, contact: ContactRecord, channel: CodeChannel, code: str
    ) -> CodeResult:
        """Count a try at the code and compare. The right one verifies the address. Raises
        Refused(unavailable).
        """
        digest = self._digest(contact.contact_id, channel, code)
        return await verification_codes.try_(self._db, tenant, contact.contact_id, channel, digest)

    def _digest(self, contact_id: UUID, channel: str, code: str) -> bytes:
        # Six digits are soon guessed from a plain hash, so it is keyed.
        text = f"{contact_id}\0{channel}\0{code}".encode(errors="surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)

    def _job(
        self,
        tenant: str,
        contact: ContactRecord,
        channel: CodeChannel,
        text: str,
        purpose: Purpose = Purpose.CODE,
    ) -> DeliveryJob:
        """A message as a notifier takes it: an alert that was never raised carries ``text``."""
        now_ms, alert_id = self._now_ms(), uuid4()
        draft = contact.draft
        to_tell = ToTell(
            contact_id=str(contact.contact_id),
            name=draft.name,
            language=draft.language,
            phone=None if channel == "email" else draft.phone,
            email=draft.email if channel == "email" else None,
            time_zone=zone_for(draft.time_zone, draft.phone),
        )
        alert = Alert(
            alert_id=alert_id, tenant=tenant, vendor="", driver="", sos_id=alert_id, kind=Kind.SOS,
            severity=Severity.NOTICE, state=State.ACTIVE, version=1, pressed_ms=now_ms, raised_ms=now_ms,
            message=text,
        )  # fmt: skip
        attempt = Attempt(
            attempt_id=uuid4(), alert_id=alert_id, tenant=tenant, purpose=purpose, round=1, step=0,
            contact_id=to_tell.contact_id, channel=Channel(channel), number=1, status=Status.SENDING,
            due_ms=now_ms, created_ms=now_ms,
        )  # fmt: skip
        copy = PolicyCopy(policy=Policy(steps=()), contacts=(to_tell,))
        return DeliveryJob(attempt=attempt, alert=alert, contact=to_tell, copy=copy)


def address_of(contact: ContactRecord, channel: CodeChannel) -> str | None:
    """Where a code by ``channel`` goes."""
    return contact.draft.email if channel == "email" else contact.draft.phone


def usable_address_of(contact: ContactRecord, channel: CodeChannel) -> str:
    """The address of ``contact`` by ``channel``. Raises Refused(invalid) unless alerts are sent to it."""
    address = address_of(contact, channel)
    if address is None:
        raise Refused(Code.INVALID, f"the contact has no address for {channel}")
    by_mail = channel == "email"
    if (contact.email_verified_ms if by_mail else contact.phone_verified_ms) is None:
        raise Refused(Code.INVALID, "the address is not verified")
    if (contact.email_opted_out_ms if by_mail else contact.phone_opted_out_ms) is not None:
        raise Refused(Code.INVALID, "the address has opted out")
    return address
