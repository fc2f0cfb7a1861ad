"""A whole web instance in this process: it takes an SOS by HTTP when no worker does, and sends codes."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from alerts.notifiers.twilio_hooks import SMS_PATH
from realtime.api.routes import HSTS
from realtime.hooks.form import SIGNATURE_HEADER
from realtime.monitoring.checks import HANGING_MS
from realtime.monitoring.monitor import BEAT_S
from realtime.outside.mail import MailServer
from realtime.processes.web import Instance
from realtime.settings import Settings
from realtime.store.alerts import health
from realtime.store.alerts.health import JournalBeat
from tests.alerts.delivery.conftest import until
from tests.api.harness import Api, Fakes, served

TOKEN = "a token that twilio signs with"
PUBLIC = "https://wayguard.example"


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def whole(database_url: str, redis_url: str, mail: MailServer) -> AsyncIterator[Instance]:
    """An instance with a way out by mail."""
    settings = Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret="a secret of the tests that is long enough",  # type: ignore[arg-type]
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
        smtp_from="sos@wayguard.example",
        smtp_security="none",
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token=TOKEN,  # type: ignore[arg-type]
        twilio_from="+15005550006",
        twilio_base_url="http://127.0.0.1:9",
        public_url=PUBLIC,
    )
    async with Instance.open(settings) as opened:
        yield opened


@pytest.fixture
async def instance(whole: Instance) -> AsyncIterator[Api]:
    """Its HTTP. The fakes only sign tokens here."""
    async with served(whole.app) as url, aiohttp.ClientSession() as session:
        yield Api(url, whole.db, Fakes(whole.settings), whole.sessions, session)


async def test_an_instance_takes_an_sos_by_http_too(instance: Api) -> None:
    driver = instance.token("driver", ["north"], driver="d1")
    sos_id = str(uuid.uuid4())
    reply = await instance.call("POST", "/api/v1/sos", driver, json={"sos_id": sos_id})
    assert (reply.status, reply.json["durability"]) == (200, "committed")
    again = await instance.call("POST", "/api/v1/sos", driver, json={"sos_id": sos_id})
    assert again.json["alert_id"] == reply.json["alert_id"]


async def test_a_code_goes_out_by_mail_and_verifies_the_contact(instance: Api, mail: MailServer) -> None:
    admin = instance.token("admin")
    made = await instance.call(
        "POST", "/api/v1/contacts", admin, json={"name": "Ann", "email": "ann@example.org"}
    )
    assert made.status == 201, made.body
    where = f"/api/v1/contacts/{made.json['contact']['contact_id']}"
    sent = await instance.call("POST", f"{where}/codes", admin, json={"channel": "email"})
    assert sent.status == 202, sent.body
    await until(lambda: bool(mail.mails), "the mail")
    body = mail.mails[0].message.get_body(("plain",))
    assert body is not None
    found = re.search(r"\b\d{6}\b", str(body.get_content()))
    assert found is not None
    verified = await instance.call(
        "POST", f"{where}/verify", admin, json={"channel": "email", "code": found.group()}
    )
    assert verified.status == 200, verified.body


async def test_an_instance_takes_twilios_calls_when_no_worker_does(instance: Api) -> None:
    form = {
        "AccountSid": "AC" + "0" * 32,
        "MessageSid": "SM" + "1" * 32,
        "From": "+12025550143",
        "Body": "1",
    }
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC + SMS_PATH, form)
    for given, status in ((signature, 200), ("forged", 403)):
        async with instance.session.post(
            instance.url + SMS_PATH, data=form, headers={SIGNATURE_HEADER: given}
        ) as answer:
            assert answer.status == status


async def test_the_auditor_hears_what_an_instance_has_on_its_disk(
    whole: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: tuple[health.Beat, ...] = ()
    async with asyncio.timeout(10):
        while not beats:
            beats = (await health.look(whole.db, HANGING_MS)).beats
    assert [(beat.process, beat.role) for beat in beats] == [("web-w1", "web")]
    waiting = JournalBeat(2, 5)
    monkeypatch.setattr(whole.alerts.standby.importer, "beat", lambda: waiting)
    async with asyncio.timeout(2 * BEAT_S):
        while beats[0].detail.journal != waiting:
            await asyncio.sleep(0.1)
            beats = (await health.look(whole.db, HANGING_MS)).beats


async def test_every_answer_of_an_instance_reached_by_https_requires_it(instance: Api) -> None:
    for path in ("/console", "/healthz", "/api/v1/journeys", "/socket.io/?EIO=4&transport=polling"):
        async with instance.session.get(instance.url + path) as answer:
            assert answer.headers["Strict-Transport-Security"] == HSTS, path
            assert answer.headers["Server"] == "wayguard"
