"""Voice calls, by Twilio: the message is read out, again and again, and a key answers it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from twilio.rest import Client
from twilio.twiml.voice_response import Gather, VoiceResponse

from alerts.addresses.phone import dialled
from alerts.attempt import (
    ASKING,
    OF_NO_ALERT,
    Accepted,
    Channel,
    Outcome,
    Permanent,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.notifiers.twilio_hooks import CALL_STATUSES, report, status_url, voice_url
from alerts.notifiers.twilio_http import PROVIDER, TwilioAccount, TwilioApi, in_each_form
from alerts.notifiers.writer import MessageWriter, WrittenMessage
from alerts.ports import DeliveryJob

RING_S: Final = 40
"""Most mailboxes answer earlier; then the call counts as delivered, not as acknowledged."""
LONGEST_S: Final = 180
TIMES: Final = 3
"""How often the message is read, a pause in between."""
PAUSE_S: Final = 4
EVENTS: Final = ["initiated", "ringing", "answered", "completed"]
LOOKED_AT: Final = 5
"""Calls to a number, the newest first, that a look-up asks about."""
CLOCK_SLACK_MS: Final = 5_000


class CallNotifier:
    """Makes a call a job."""

    channel = Channel.CALL
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
                return await client.calls.create_async(to=number, from_=self._api.account.sender, **fields)

            return await self._api.do(one, over_s - clock())

        made = await in_each_form(to, create)
        return made if isinstance(made, Retryable | Permanent | Unsure | Accepted) else accepted(made)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """Among the calls to that number since this attempt was due, the one that has called us back for it.

        Calls to each form of the number are asked for. A call has no text to know it by, but Twilio keeps
        which URLs it asked for a call, and those hold the attempt's id. Elsewhere it may have been due
        earlier.
        """
        to = job.contact.phone
        if not to:
            return None
        due_ms = job.alert.raised_ms if job.elsewhere else job.attempt.due_ms
        since_ms, attempt_id = due_ms - CLOCK_SLACK_MS, str(job.attempt.attempt_id)

        async def ours(client: Client) -> StatusReport | Unsure | None:
            calls = [
                one
                for form in dialled(to)
                for one in await client.calls.list_async(to=form, limit=LOOKED_AT, page_size=LOOKED_AT)
                if _made_ms(one) >= since_ms
            ]
            for one in calls:
                events = await client.calls(one.sid).events.list_async(limit=20)
                if any(attempt_id in str((event.request or {}).get("url", "")) for event in events):
                    status = CALL_STATUSES.get(str(one.status), Status.SENT)
                    return report(str(one.sid), status, str(one.status), None)
            return Unsure("not_told") if calls else None

        found = await self._api.do(ours, timeout_s)
        if found is None or isinstance(found, StatusReport | Unsure):
            return found
        return Unsure(getattr(found, "reason", "unknown"))

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()


def fields_of(account: TwilioAccount, job: DeliveryJob, written: WrittenMessage) -> dict[str, Any]:
    """What Twilio is told beside the numbers."""
    fields: dict[str, Any] = {
        "twiml": spoken(account, job, written),
        "timeout": RING_S,
        "time_limit": LONGEST_S,
    }
    if account.hooks_url and job.attempt.purpose not in OF_NO_ALERT:
        fields["status_callback"] = status_url(account.hooks_url, job.attempt)
        fields["status_callback_event"] = EVENTS
    return fields


def spoken(account: TwilioAccount, job: DeliveryJob, written: WrittenMessage) -> str:
    """The TwiML. Where a question is asked a key is taken at any time; else the message is only read."""
    words, response = written.words, VoiceResponse()
    response.pause(length=1)
    into: VoiceResponse | Gather = response
    if account.hooks_url and job.attempt.purpose in ASKING:
        into = Gather(
            num_digits=1,
            timeout=PAUSE_S,
            action=voice_url(account.hooks_url, job.attempt),
            method="POST",
            action_on_empty_result=False,
        )
        response.append(into)
    for time in range(TIMES):
        if time:
            into.pause(length=PAUSE_S)
        into.say(words.spoken, language=words.voice)
    return str(response)


def accepted(made: Any) -> Outcome:
    """What the answer to a create means."""
    said = str(made.status)
    if CALL_STATUSES.get(said) is Status.FAILED:
        return Permanent(said.replace("-", "_"))
    return Accepted(str(made.sid), said)


def _made_ms(call: Any) -> float:
    """When it was made; a call without a date counts as made just now."""
    return float("inf") if call.date_created is None else call.date_created.timestamp() * 1000
