"""A whole web instance in this process: it takes an SOS by HTTP when no worker does, and sends codes."""

import re
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from realtime.instance import Instance
from realtime.outside.mail import MailServer
from realtime.settings import Settings
from tests.alerts.delivery.conftest import until
from tests.api.harness import Api, Fakes, served


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def instance(database_url: str, redis_url: str, mail: MailServer) -> AsyncIterator[Api]:
    """An instance with a way out by mail. The fakes only sign tokens here."""
    settings = Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret="a secret of the tests that is long enough",  # type: ignore[arg-type]
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
        smtp_from="sos@wayguard.example",
        smtp_security="none",
    )
    async with Instance.open(settings) as whole, served(whole.app) as url, aiohttp.ClientSession() as session:
        yield Api(url, whole.db, Fakes(settings), whole.sessions, session)


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
