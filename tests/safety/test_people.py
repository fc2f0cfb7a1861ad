"""People as an instance wires it: a code that arrives by mail, an erasure that reaches cache and mirror."""

import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from realtime.erasure.eraser import ErasureRecord
from realtime.live.topics import state_key
from realtime.outside.mail import MailServer
from realtime.outside.rtdb import RealtimeDatabaseServer
from realtime.processes.web import Instance
from realtime.settings import Settings
from realtime.store.people import contacts
from tests.api.harness import Api, Fakes, served
from tests.store.people import put_driver


class World:
    """A running instance and the servers outside it."""

    def __init__(
        self, api: Api, instance: Instance, mail: MailServer, mirror: RealtimeDatabaseServer
    ) -> None:
        self.api = api
        self.instance = instance
        self.mail = mail
        self.mirror = mirror


@pytest.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with MailServer() as mail, RealtimeDatabaseServer() as mirror:
        settings = Settings(
            database_url=database_url,  # type: ignore[arg-type]
            redis_url=redis_url,  # type: ignore[arg-type]
            auth_secret=secrets.token_hex(32),  # type: ignore[arg-type]
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_from="Wayguard <alerts@wayguard.example>",
            smtp_security="none",
            firebase_database_url=mirror.database_url,
        )
        async with (
            Instance.open(settings) as instance,
            served(instance.app) as url,
            aiohttp.ClientSession() as session,
        ):
            yield World(
                Api(url, instance.db, Fakes(settings), instance.sessions, session), instance, mail, mirror
            )


async def test_a_contact_is_verified_by_the_code_in_a_real_mail(world: World) -> None:
    api = world.api
    token = api.token("driver", ["north"], driver="d1")
    body = {"name": "Ana\u200d", "email": "ana@example.org", "language": "de"}
    made = (await api.call("POST", "/api/v1/contacts", token, json=body)).json["contact"]
    where = f"/api/v1/contacts/{made['contact_id']}"
    sent = await api.call("POST", f"{where}/codes", token, json={"channel": "email"})
    assert sent.status == 202, sent.body
    (mail,) = world.mail.mails
    assert mail.recipients == ("ana@example.org",)
    code = re.search(r"\b[0-9]{6}\b", mail.message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert code is not None
    typed = {"channel": "email", "code": code[0]}
    reply = await api.call("POST", f"{where}/verify", token, json=typed)
    assert reply.json["contact"]["email"]["counts"] is True
    found = await contacts.circumstances(api.db, "t1", "north", "d1")
    assert found.contacts[0].email == "ana@example.org"


async def test_a_channel_that_is_not_set_up_is_away(world: World) -> None:
    api = world.api
    body = {"name": "Ana", "phone": "+442079460958"}
    made = (await api.call("POST", "/api/v1/contacts", api.token("admin"), json=body)).json["contact"]
    where = f"/api/v1/contacts/{made['contact_id']}/codes"
    reply = await api.call("POST", where, api.token("admin"), json={"channel": "sms"})
    assert (reply.status, reply.code) == (503, "unavailable")


async def test_an_erasure_reaches_the_cache_and_the_mirror(world: World) -> None:
    api, client = world.api, world.instance.client
    for driver in ("d1", "d2"):
        await put_driver(api.db, "t1", "north", driver)
        await client.hset(state_key("t1", "north", "latest"), driver, b"1|2|x")
        await remote(world).update({f"live/t1/north/{driver}": {"lat": 1.0, "driver": driver}})
    reply = await api.call("DELETE", "/api/v1/drivers/d1", api.token("admin"))
    assert reply.json["done"] is True, reply.json
    assert (reply.json["places"]["redis"], reply.json["places"]["firebase"]) == ([1, 0], [1, 0])
    assert await client.hkeys(state_key("t1", "north", "latest")) == [b"d2"]
    assert list(world.mirror.at("live/t1/north")) == ["d2"]


async def test_with_the_mirror_away_an_erasure_is_unfinished_and_goes_on_later(world: World) -> None:
    from realtime.outside.web import SimulatedFault, Trouble

    await put_driver(world.api.db, "t1", "north", "d1")
    await remote(world).update({"live/t1/north/d1": {"lat": 1.0}})
    world.mirror.fault = SimulatedFault(Trouble.STATUS, status=503)
    began_ms = time.time_ns() // 1_000_000
    proof: ErasureRecord = await world.instance.people.eraser.erase("t1", "d1", "admin")
    assert (proof.done, proof.places["firebase"], proof.places["drivers"]) == (False, (None, None), (1, 0))
    world.mirror.fault = None
    proof = await world.instance.people.eraser.erase("t1", "d1", "admin")
    assert (proof.done, proof.places["firebase"]) == (True, (1, 0))
    assert proof.asked_ms >= began_ms - 60_000


def remote(world: World) -> Any:
    """The instance's own way to the mirror."""
    return world.instance.people._remote
