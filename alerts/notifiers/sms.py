"""Text messages, by Twilio."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from twilio.rest import Client

from alerts.addresses.phone import dialled
from alerts.attempt import (
    OF_NO_ALERT,
    Accepted,
    Channel,
    Outcome,
    Permanent,
    Purpose,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.notifiers.twilio_hooks import MESSAGE_STATUSES, report, status_url
from alerts.notifiers.twilio_http import PROVIDER, TwilioAccount, TwilioApi, in_each_form
from alerts.notifiers.writer import MessageWriter, WrittenMessage
from alerts.ports import DeliveryJob

VALID_S: Final = 600
"""A cry for help that a carrier holds longer is given back as undelivered, and goes another way."""
NEWS_VALID_S: Final = 14_400
"""The end of an alert is still worth hearing hours later."""
LOOKED_AT: Final = 50
"""The newest messages to a number that a look-up goes through: one page."""
_URGENT: Final = frozenset({Purpose.ALERT, Purpose.REMINDER, Purpose.EXHAUSTED, Purpose.CODE})


class SmsNotifier:
    """Sends a text message a job."""

    channel = Channel.SMS
    provider = PROVIDER

    def __init__(self, account: TwilioAccount, writer: MessageWriter, now_ms: Callable[[], int]) -> None:
        self._api = TwilioApi(account, now_ms)
        self._writer = writer

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Try once."""
        to = job.contact.phone
        if not to:
            return Permanent("no_address")
        clock = asyncio.get_running_loop().time
        over_s = clock() + timeout_s
        fields = fields_of(self._api.account, job, await self._writer.write(job))

        async def create(number: str) -> Any:
            async def one(client: Client) -> Any:
                return await client.messages.create_async(to=number, **fields)

            return await self._api.do(one, over_s - clock())

        made = await in_each_form(to, create)
        return made if isinstance(made, Retryable | Permanent | Unsure | Accepted) else accepted(made)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """Among the newest messages to that number, in each form of it, the one with this attempt's link.

        Not by date: a message that still waits has no date of sending, and would be left out.
        """
        to = job.contact.phone
        if not to:
            return None

        async def newest(client: Client) -> Any:
            return [
                await client.messages.list_async(to=form, limit=LOOKED_AT, page_size=LOOKED_AT)
                for form in dialled(to)
            ]

        pages = await self._api.do(newest, timeout_s)
        if not isinstance(pages, list):
            return Unsure(getattr(pages, "reason", "unknown"))
        for one in (one for page in pages for one in page):
            if self._writer.is_of(job, str(one.body or "")):
                status = MESSAGE_STATUSES.get(str(one.status), Status.SENT)
                return report(str(one.sid), status, str(one.status), one.error_code)
        return None if all(len(page) < LOOKED_AT for page in pages) else Unsure("too_many")

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()


def fields_of(account: TwilioAccount, job: DeliveryJob, written: WrittenMessage) -> dict[str, Any]:
    """What Twilio is told beside the number."""
    urgent = job.attempt.purpose in _URGENT
    fields: dict[str, Any] = {
        "body": written.words.short,
        "validity_period": VALID_S if urgent else NEWS_VALID_S,
    }
    of_service = account.sender.startswith("MG")
    fields["messaging_service_sid" if of_service else "from_"] = account.sender
    if account.hooks_url and job.attempt.purpose not in OF_NO_ALERT:
        fields["status_callback"] = status_url(account.hooks_url, job.attempt)
    return fields


def accepted(made: Any) -> Outcome:
    """What the answer to a create means: its status is the first, and no callback is sent for it."""
    said = str(made.status)
    if MESSAGE_STATUSES.get(said) is Status.FAILED:
        return Permanent(said)
    return Accepted(str(made.sid), said)
