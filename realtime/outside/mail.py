"""A mail server that keeps what it is handed: SMTP by aiosmtpd, with STARTTLS, TLS and a login when asked.

It runs in a thread with a loop of its own, since STARTTLS needs the standard loop on the server's side.
"""

import asyncio
import ssl
import threading
import time
from collections import deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import Struct

KEPT: Final = 1_000
"""Mails kept; the oldest are forgotten."""
READY_S: Final = 10.0


class MailFault(StrEnum):
    """What a mail server does to its clients."""

    BUSY = "busy"
    """421 to MAIL."""
    HANG = "hang"
    """No answer to MAIL, ever."""
    DROP = "drop"
    """Closes at MAIL."""
    DEFER_RECIPIENT = "defer_recipient"
    """450: greylisting."""
    REFUSE_RECIPIENT = "refuse_recipient"
    """550: no such mailbox."""
    DEFER_DATA = "defer_data"
    """451 to the whole message."""
    REFUSE_DATA = "refuse_data"
    """554 to the whole message."""
    DROP_AFTER_DATA = "drop_after_data"
    """Takes the message, closes without a reply, forgets it."""
    LOSE_REPLY = "lose_reply"
    """Takes the message, keeps it, closes without a reply."""
    HANG_AFTER_DATA = "hang_after_data"
    """Takes the message, keeps it, and never answers."""
    LIE = "lie"
    """Says that it has kept the message, and has not."""


class Mail(Struct, frozen=True):
    """One mail that was taken."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    was_encrypted: bool
    at_ms: int = 0


class MailServer:
    """``async with MailServer() as server``: listens on ``server.port``, keeps ``server.mails``.

    ``faults``: what happens to the next mails, one each; then ``fault`` happens to every one.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        login: tuple[str, str] | None = None,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self.port = port
        self._login = login
        self._starttls = starttls
        self._tls = tls
        self.mails: deque[Mail] = deque(maxlen=KEPT)
        self.faults: deque[MailFault | None] = deque()
        self.fault: MailFault | None = None
        self.transactions = 0
        """MAIL commands seen."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mail-server", daemon=True)
        self._ready = threading.Event()
        self._failed: OSError | None = None

    async def __aenter__(self) -> "MailServer":
        self._thread.start()
        await asyncio.to_thread(self._ready.wait, READY_S)
        if self._failed is not None:
            raise self._failed
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, READY_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(
                self._loop.create_server(self._protocol, self._host, self.port, ssl=self._tls)
            )
        except OSError as error:
            self._failed = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _protocol(self) -> SMTP:
        return SMTP(
            _Handler(self),
            hostname="mail.standin",
            loop=self._loop,
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            authenticator=self._authenticate if self._login else None,
            auth_required=self._login is not None,
            auth_require_tls=False,
            enable_SMTPUTF8=True,
        )

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._login, handled=False)

    @property
    def is_encrypted(self) -> bool:
        """Whether every connection is, from its first byte."""
        return self._tls is not None

    def next_fault(self) -> MailFault | None:
        """What happens to a mail that begins now."""
        return self.faults.popleft() if self.faults else self.fault


class _Handler:
    """The hooks of aiosmtpd for one connection."""

    def __init__(self, owner: MailServer) -> None:
        self._owner = owner
        self._fault: MailFault | None = None

    async def handle_MAIL(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._owner.transactions += 1
        self._fault = self._owner.next_fault()
        match self._fault:
            case MailFault.BUSY:
                return "421 4.3.2 come back later"
            case MailFault.HANG:
                await _for_ever()
            case MailFault.DROP:
                return _drop(server)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._fault is MailFault.DEFER_RECIPIENT:
            return "450 4.7.1 greylisted, try again later"
        if self._fault is MailFault.REFUSE_RECIPIENT:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        match self._fault:
            case MailFault.DEFER_DATA:
                return "451 4.3.0 try again later"
            case MailFault.REFUSE_DATA:
                return "554 5.7.1 not wanted"
            case MailFault.DROP_AFTER_DATA:
                return _drop(server)
            case MailFault.LIE:
                return "250 2.0.0 kept"
        self._keep(session, envelope)
        match self._fault:
            case MailFault.LOSE_REPLY:
                return _drop(server)
            case MailFault.HANG_AFTER_DATA:
                await _for_ever()
        return "250 2.0.0 kept"

    def _keep(self, session: Session, envelope: Envelope) -> None:
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        self._owner.mails.append(
            Mail(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                message=message_from_bytes(raw, policy=policy.default),
                was_encrypted=self._owner.is_encrypted or session.ssl is not None,
                at_ms=int(time.time() * 1000),
            )
        )


def _drop(server: SMTP) -> str:
    """Cut the connection; what is returned reaches nobody."""
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()
    return "421 gone"


async def _for_ever() -> None:
    await asyncio.Event().wait()
