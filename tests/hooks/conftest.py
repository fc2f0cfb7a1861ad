"""A worker, a driver's contact with a phone, and Twilio's stand-in, which calls the worker back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from alerts.alert import Alert
from alerts.attempt import Attempt, Channel
from realtime.api.routes import SERVER_LIMITS
from realtime.auth.tokens import mint
from realtime.engines.embedded import free_port
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_words import Sent
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.reads import Explanation
from realtime.store.db.database import Database

AUTH = "a secret of the tests that is long enough"
ANN = UUID("0b1f4c1e-0000-4000-8000-00000000000a")
PHONE = "+4915112345678"


async def until(what: Callable[[], Awaitable[bool]], meaning: str) -> None:
    """Wait until ``what`` holds."""
    try:
        async with asyncio.timeout(20):
            while not await what():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {meaning}") from None


@dataclass
class World:
    """What a test does and sees."""

    settings: Settings
    twilio: TwilioServer
    db: Database
    url: str
    session: aiohttp.ClientSession

    async def sos(self, driver: str = "d1", *, drill: bool = False) -> UUID:
        """``driver`` presses; the alert's id."""
        token = mint(self.settings, role="driver", tenant="t1", vendors=["v1"], driver=driver)
        async with self.session.post(
            f"{self.url}/api/v1/sos",
            json={"sos_id": str(uuid4()), "drill": drill},
            headers={"Authorization": f"Bearer {token}"},
        ) as answer:
            found = await answer.json()
            return UUID(found["alert_id"])

    async def explained(self, alert_id: UUID) -> Explanation:
        """All that is known of it."""
        found = await reads.explain(self.db, "t1", alert_id)
        assert found is not None
        return found

    async def alert(self, alert_id: UUID) -> Alert:
        """As it stands."""
        return (await self.explained(alert_id)).alert

    async def attempt(self, alert_id: UUID, channel: Channel) -> Attempt:
        """The only one by ``channel``."""
        [found] = [a for a in (await self.explained(alert_id)).attempts if a.channel is channel]
        return found

    async def text_of(self, alert_id: UUID) -> Sent:
        """The text that Ann got, once its send is recorded."""
        attempt = await self._sent(alert_id, Channel.SMS)
        found = self.twilio.find(attempt.provider_id or "")
        assert found is not None
        return found

    async def call_of(self, alert_id: UUID) -> Sent:
        """The call that Ann got, once it rings and that is recorded."""
        attempt = await self._sent(alert_id, Channel.CALL)
        found = self.twilio.find(attempt.provider_id or "")
        assert found is not None
        await self.twilio.callbacks.settled()
        return found

    async def _sent(self, alert_id: UUID, channel: Channel) -> Attempt:
        async def is_sent() -> bool:
            attempts = (await self.explained(alert_id)).attempts
            return any(a.channel is channel and a.provider_id for a in attempts)

        await until(is_sent, f"the provider has the {channel}")
        return await self.attempt(alert_id, channel)


async def _contact(db: Database, contact_id: UUID, name: str, phone: str) -> None:
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t1') ON CONFLICT DO NOTHING")
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, name, phone, phone_verified_ms, created_by) "
            "VALUES ($1, 't1', $2, $3, 1, 'test')",
            contact_id,
            name,
            phone,
        )


POLICY = '{"steps": [{"contacts": ["*"], "channels": ["sms", "call"], "wait_s": 600}]}'


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with TwilioServer() as twilio, aiohttp.ClientSession() as session:
        port = free_port()
        given: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "auth_secret": AUTH,
            "instance_name": "worker1",
            "public_url": f"http://127.0.0.1:{port}",
            "twilio_account_sid": twilio.account_sid,
            "twilio_auth_token": twilio.auth_token,
            "twilio_from": twilio.number,
            "twilio_base_url": twilio.url,
        }
        settings = Settings(**given)
        twilio.sms_url = f"{settings.public_url}/hooks/twilio/sms"
        async with Worker.open(settings) as worker:
            runner = web.AppRunner(worker.app, access_log=None, shutdown_timeout=0.2, **SERVER_LIMITS)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            db = await Database.open(settings)
            await _contact(db, ANN, "Ann", PHONE)
            async with db.writer() as connection:
                await connection.execute(
                    "INSERT INTO alert_policies (policy_id, tenant_id, kind, policy, updated_by) "
                    "VALUES ($1, 't1', 'sos', $2, 'test')",
                    uuid4(),
                    POLICY,
                )
            yield World(settings, twilio, db, settings.public_url, session)
            await db.close()
            await runner.cleanup()
