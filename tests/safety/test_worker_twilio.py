"""A worker with Twilio and a mail server: what is down is not waited for."""

from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from realtime.outside.mail import MailServer
from realtime.outside.twilio import TwilioServer
from realtime.outside.web import SimulatedFault, Trouble
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.api.harness import served
from tests.safety.test_worker import Running, ann, db, mail, settings, sink

__all__ = ["ann", "db", "mail", "settings", "sink"]


class TextsDown(TwilioServer):
    """Twilio whose texts fail, and whose calls do not."""

    def is_troubled(self, request: web.Request) -> bool:
        """Faults are for texts."""
        return request.method == "POST" and request.path.endswith("/Messages.json")


@pytest.fixture
async def twilio() -> AsyncIterator[TextsDown]:
    async with TextsDown() as server:
        yield server


@pytest.fixture
async def by_the_built_in_policy(ann: None, db: Database) -> None:
    """Ann has a phone and mail and no webhook, and nobody has set a policy."""
    async with db.writer() as connection:
        await connection.execute("DELETE FROM alert_policies")
        await connection.execute(
            "UPDATE contacts SET webhook_url = NULL, phone = '+447700900123', phone_verified_ms = 1"
        )


@pytest.mark.parametrize(
    "fault",
    [
        SimulatedFault(Trouble.STATUS, 500),
        SimulatedFault(Trouble.STATUS, 429, "30"),
        SimulatedFault(Trouble.DROP),
    ],
)
async def test_with_texts_down_and_no_push_a_call_and_a_mail_follow_at_once(
    settings: Settings,
    by_the_built_in_policy: None,
    twilio: TextsDown,
    mail: MailServer,
    fault: SimulatedFault,
) -> None:
    twilio.fault = fault
    with_twilio = settings.model_copy(
        update={
            "twilio_account_sid": twilio.account_sid,
            "twilio_auth_token": SecretStr(twilio.auth_token),
            "twilio_from": twilio.number,
            "twilio_base_url": twilio.url,
        }
    )
    async with (
        Worker.open(with_twilio) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        answer = await Running(worker, url, session, with_twilio).press(uuid4())
        assert answer["ok"]
        await until(lambda: bool(mail.mails) and bool(twilio.phone_calls), "the call and the mail")
    assert not twilio.messages
