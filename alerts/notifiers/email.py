"""Mail, by SMTP.

A message has the id of its attempt, so that a mail that went out twice because a reply was lost is one mail
to those who read it. What is refused before the whole of it was handed over was surely not sent.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email import policy
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

import aiosmtplib
from msgspec import Struct

from alerts.attempt import OF_NO_ALERT, Accepted, Channel, Outcome, Permanent, Retryable, StatusReport, Unsure
from alerts.notifiers.writer import MessageWriter, WrittenMessage
from alerts.ports import DeliveryJob
from alerts.words.clean import clean

PROVIDER: Final = "smtp"
GOODBYE_S: Final = 1.0
_ADDRESS: Final = re.compile(
    r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,64}@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]{1,255}"
)
_UNAVAILABLE: Final = 421


class Smtp(Struct, frozen=True):
    """Where mail is handed in. ``security``: ``starttls`` and ``tls`` check the server's certificate."""

    host: str
    port: int
    sender: str
    """An address, or ``Name <address>``."""
    username: str = ""
    password: str = ""
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""


class EmailNotifier:
    """Sends a mail a job, over a connection of its own."""

    channel = Channel.EMAIL
    provider = PROVIDER

    def __init__(self, smtp: Smtp, writer: MessageWriter, now_ms: Callable[[], int]) -> None:
        self._smtp = smtp
        self._writer = writer
        self._now_ms = now_ms
        self._sender = parsed_address(smtp.sender)

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Try once."""
        address = job.contact.email or ""
        if not _ADDRESS.fullmatch(address):
            return Permanent("no_address" if not address else "bad_address")
        handing = _Handing()
        try:
            async with asyncio.timeout(timeout_s):
                message = self._message(job, address, await self._writer.write(job))
                async with self._connected(timeout_s, handing) as client:
                    return await self._hand_in(client, message, address, handing)
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            return outcome_of(error, handing)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """SMTP cannot tell what was handed in earlier."""
        return Unsure("no_look_up")

    async def close(self) -> None:
        """Every mail has closed its own connection."""

    @contextlib.asynccontextmanager
    async def _connected(self, timeout_s: float, handing: "_Handing") -> AsyncIterator[aiosmtplib.SMTP]:
        smtp = self._smtp
        client = aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.port,
            timeout=timeout_s,
            use_tls=smtp.security == "tls",
            start_tls=smtp.security == "starttls",
            username=smtp.username or None,
            password=smtp.password or None,
            cert_bundle=smtp.ca_file,
        )
        try:
            await client.connect()
            handing.stage = "envelope"
            yield client
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=GOODBYE_S)  # politeness: what was said before is what counts
        finally:
            client.close()

    async def _hand_in(
        self, client: aiosmtplib.SMTP, message: EmailMessage, address: str, handing: "_Handing"
    ) -> Outcome:
        as_bytes = message.as_bytes(policy=policy.SMTP.clone(cte_type="7bit"))
        await client.mail(self._sender.addr_spec)
        handing.stage = "recipient"
        await client.rcpt(address)
        handing.stage = "data"
        reply = await client.data(as_bytes)
        return Accepted(str(message["Message-ID"]), str(reply.code))

    def _message(self, job: DeliveryJob, address: str, written: WrittenMessage) -> EmailMessage:
        """Every header is set through the library's own types, which refuse a line break."""
        words, domain = written.words, self._sender.domain or "localhost"
        message = EmailMessage(policy=policy.SMTP)
        message.set_content(words.long)
        message.add_alternative(words.html, subtype="html")
        message["From"] = self._sender
        message["To"] = Address(display_name=clean(job.contact.name, 60), addr_spec=address)
        message["Subject"] = words.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._now_ms() / 1000, UTC))
        message["Message-ID"] = f"<{job.attempt.attempt_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["Content-Language"] = words.voice
        if job.attempt.purpose not in OF_NO_ALERT:
            message["References"] = f"<{job.alert.alert_id}@{domain}>"
            message["Importance"] = "high"
            message["X-Priority"] = "1"
        return message


class _Handing(Struct):
    """How far a mail came: ``connect``, ``envelope``, ``recipient``, ``data``."""

    stage: str = "connect"


def outcome_of(error: Exception, handing: _Handing) -> Outcome:
    """Four cases: the server said no; it cannot be reached or does not let us in; it fell silent before it
    had the mail; it fell silent after.
    """
    code = _code_of(error)
    if code is not None and handing.stage != "connect":
        return _refused(code, handing.stage)
    if handing.stage == "connect":
        auth = isinstance(error, aiosmtplib.SMTPAuthenticationError)
        return Retryable("auth" if auth else _named(error), provider_down=True)
    if isinstance(error, ValueError | UnicodeError | aiosmtplib.SMTPNotSupported):
        return Permanent("bad_address")
    if handing.stage != "data":
        return Retryable(_named(error), provider_down=True)
    return Unsure(_named(error))


def _refused(code: int, stage: str) -> Outcome:
    if code == _UNAVAILABLE:
        return Retryable("421", provider_down=True)
    if 400 <= code < 500:
        return Retryable(f"{stage}_{code}", address_failed=stage == "recipient")
    return Permanent(f"{stage}_{code}")


def _code_of(error: Exception) -> int | None:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return error.recipients[0].code
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0 else None


def _named(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return "refused" if isinstance(error, ConnectionRefusedError) else "connection_lost"


def parsed_address(text: str) -> Address:
    """An address, or ``Name <address>``. Raises ValueError for anything else."""
    name, bracket, rest = text.rpartition("<")
    spec = rest.removesuffix(">").strip() if bracket else text.strip()
    if not _ADDRESS.fullmatch(spec) or (bracket and not rest.endswith(">")):
        raise ValueError("not a mail address")
    try:
        return Address(display_name=name.strip().strip('"'), addr_spec=spec)
    except HeaderParseError as error:
        raise ValueError("not a mail address") from error
