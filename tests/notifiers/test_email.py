"""Mail through a real SMTP server, its refusals and its silences."""

import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.attempt import Accepted, Outcome, Permanent, Purpose, Retryable, Unsure
from alerts.notifiers.email import EmailNotifier, Smtp, parsed_address
from alerts.notifiers.writer import MessageWriter
from realtime.outside.certificate import Certificate, make_certificate
from realtime.outside.mail import MailFault, MailServer
from tests.alerts.jobs import LINK, NOW_MS, FixedLinks, alert, contact, job

PATIENT_S = 20.0
IMPATIENT_S = 0.3


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "localhost")


def notifier(server: MailServer, **settings: Any) -> EmailNotifier:
    smtp = Smtp(
        **{"host": "127.0.0.1", "port": server.port, "sender": "Wayguard <sos@wayguard.example>"}
        | {"security": "none"}
        | settings
    )
    return EmailNotifier(smtp, MessageWriter(FixedLinks(), lambda: NOW_MS), lambda: NOW_MS)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def test_a_mail_says_it_in_text_and_html(server: MailServer) -> None:
    outcome = await notifier(server).send(job(), PATIENT_S)
    (mail,) = server.mails
    message = mail.message
    assert mail.recipients == ("bob@example.org",)
    assert mail.sender == "sos@wayguard.example"
    assert message["Subject"] == "SOS – Ana Lopez"
    assert message["To"] == "Bob <bob@example.org>"
    assert message["From"] == "Wayguard <sos@wayguard.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == NOW_MS / 1000
    assert LINK in body(message, "plain") and f'href="{LINK}"' in body(message, "html")
    assert outcome == Accepted(str(message["Message-ID"]), "250")


async def test_a_repeat_has_the_same_message_id(server: MailServer) -> None:
    sender = notifier(server)
    await sender.send(job(), PATIENT_S)
    await sender.send(job(repeat=True), PATIENT_S)
    first, second = server.mails
    assert first.message["Message-ID"] == second.message["Message-ID"]


async def test_messages_of_one_alert_are_one_thread(server: MailServer) -> None:
    sender = notifier(server)
    await sender.send(job(), PATIENT_S)
    await sender.send(job(purpose=Purpose.CLOSED), PATIENT_S)
    first, second = server.mails
    assert first.message["References"] == second.message["References"] is not None


async def test_a_code_is_not_urgent_and_has_no_link(server: MailServer) -> None:
    await notifier(server).send(job(of=alert(message="482913"), purpose=Purpose.CODE), PATIENT_S)
    (mail,) = server.mails
    assert "482913" in body(mail.message, "plain")
    assert LINK not in body(mail.message, "plain")
    assert mail.message["Importance"] is None


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (MailFault.BUSY, Retryable("421", provider_down=True)),
        (MailFault.DROP, Retryable("connection_lost", provider_down=True)),
        (MailFault.DEFER_RECIPIENT, Retryable("recipient_450", address_failed=True)),
        (MailFault.REFUSE_RECIPIENT, Permanent("recipient_550")),
        (MailFault.DEFER_DATA, Retryable("data_451")),
        (MailFault.REFUSE_DATA, Permanent("data_554")),
        (MailFault.DROP_AFTER_DATA, Unsure("connection_lost")),
        (MailFault.LOSE_REPLY, Unsure("connection_lost")),
    ],
)
async def test_each_refusal_is_what_it_means(server: MailServer, fault: MailFault, outcome: Outcome) -> None:
    server.faults.append(fault)
    assert await notifier(server).send(job(), PATIENT_S) == outcome
    assert len(server.mails) == (fault is MailFault.LOSE_REPLY)
    assert isinstance(await notifier(server).send(job(), PATIENT_S), Accepted)


async def test_silence_before_the_message_means_not_sent(server: MailServer) -> None:
    server.fault = MailFault.HANG
    assert await notifier(server).send(job(), IMPATIENT_S) == Retryable("timeout", provider_down=True)
    assert not server.mails


async def test_silence_after_the_message_leaves_it_open(server: MailServer) -> None:
    server.fault = MailFault.HANG_AFTER_DATA
    assert await notifier(server).send(job(), 1.5) == Unsure("timeout")
    assert len(server.mails) == 1


async def test_a_server_that_is_not_there_is_down() -> None:
    async with MailServer() as gone:
        port = gone.port
    sender = notifier(gone, port=port)
    assert await sender.send(job(), PATIENT_S) == Retryable("connection_lost", provider_down=True)


async def test_it_logs_in() -> None:
    async with MailServer(login=("wayguard", "s3cret")) as server:
        right = notifier(server, username="wayguard", password="s3cret")
        wrong = notifier(server, username="wayguard", password="other")
        assert isinstance(await right.send(job(), PATIENT_S), Accepted)
        assert await wrong.send(job(), PATIENT_S) == Retryable("auth", provider_down=True)
        assert len(server.mails) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_it_encrypts_and_trusts_only_who_it_should(security: str, certificate: Certificate) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    how: dict[str, Any] = {security: context}
    async with MailServer(**how) as server:
        settings: dict[str, Any] = {"host": "localhost", "security": security}
        trusting = notifier(server, **settings, ca_file=str(certificate.chain))
        assert isinstance(await trusting.send(job(), PATIENT_S), Accepted)
        assert server.mails[0].was_encrypted
        stranger = await notifier(server, **settings).send(job(), PATIENT_S)
        assert isinstance(stranger, Retryable) and stranger.provider_down
        assert len(server.mails) == 1


async def test_starttls_is_not_given_up_when_the_server_has_none(server: MailServer) -> None:
    outcome = await notifier(server, security="starttls").send(job(), PATIENT_S)
    assert isinstance(outcome, Retryable) and outcome.provider_down
    assert not server.mails


@pytest.mark.parametrize(
    "email", [None, "", "bob", "a@b@c", "bob@example.org\r\nBcc: all@example.org", "<x@y>"]
)
async def test_an_address_that_is_none_is_never_tried(server: MailServer, email: str | None) -> None:
    outcome = await notifier(server).send(job(to=contact(email=email)), PATIENT_S)
    assert isinstance(outcome, Permanent)
    assert server.transactions == 0


@given(
    name=st.text(st.one_of(st.characters(), st.sampled_from('\r\n\0:<>@,;"\\')), max_size=200),
    driver=st.text(st.one_of(st.characters(), st.sampled_from("\r\n\0:")), max_size=200),
)
def test_no_name_makes_a_header_of_its_own(name: str, driver: str) -> None:
    sender = EmailNotifier(
        Smtp("h", 25, "sos@wayguard.example"), MessageWriter(FixedLinks(), lambda: NOW_MS), lambda: NOW_MS
    )
    what = job(to=contact(name=name), driver_name=driver)
    written = sender._writer.write(what)
    message = sender._message(what, "bob@example.org", _result(written))
    head = message.as_bytes().split(b"\r\n\r\n", 1)[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert sorted(names) == sorted(
        b"From To Subject Date Message-ID Auto-Submitted Content-Language References Importance X-Priority "
        b"MIME-Version Content-Type".split()
    )
    assert [a.addr_spec for a in message["To"].addresses] == ["bob@example.org"]


def _result(coroutine: Any) -> Any:
    """The result of a coroutine that never waits."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


@pytest.mark.parametrize("text", ["", "nobody", "A <b@c.example> d", "x\r\n@y", "A <b>", "a@b, c@d"])
def test_a_sender_that_is_no_address_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="not a mail address"):
        parsed_address(text)


async def test_smtp_cannot_be_asked_later(server: MailServer) -> None:
    assert await notifier(server).look_up(job(), 1.0) == Unsure("no_look_up")


def test_a_certificate_is_kept_from_others(certificate: Certificate) -> None:
    assert Path(certificate.key).stat().st_mode & 0o077 == 0
