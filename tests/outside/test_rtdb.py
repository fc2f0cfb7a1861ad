"""The stand-in of the Realtime Database behaves as the real one does towards the official client."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import aiohttp
import firebase_admin
import pytest
from firebase_admin import db, exceptions

from realtime.outside.rtdb import RealtimeDatabaseServer
from realtime.outside.web import SimulatedFault, Trouble

T = TypeVar("T")


class Client:
    """The official client, which blocks: each call is made in a thread."""

    def __init__(self, server: RealtimeDatabaseServer) -> None:
        self.app = firebase_admin.initialize_app(
            None, {"databaseURL": server.database_url, "httpTimeout": 5}, name=str(uuid.uuid4())
        )

    async def at(self, path: str, call: Callable[[Any], T]) -> T:
        """The result of ``call`` with the reference of ``path``."""
        return await asyncio.to_thread(lambda: call(db.reference(path, app=self.app)))


@pytest.fixture
async def server() -> AsyncIterator[RealtimeDatabaseServer]:
    async with RealtimeDatabaseServer() as server:
        yield server


@pytest.fixture
async def client(server: RealtimeDatabaseServer) -> AsyncIterator[Client]:
    client = Client(server)
    yield client
    firebase_admin.delete_app(client.app)


async def test_what_is_set_is_there_and_nulls_are_not(server: RealtimeDatabaseServer, client: Client) -> None:
    await client.at("a/b", lambda ref: ref.set({"x": 1, "none": None, "empty": {}, "list": ["p", "q"]}))
    assert await client.at("a", lambda ref: ref.get()) == {"b": {"x": 1, "list": ["p", "q"]}}
    assert server.at("a/b/list") == {"0": "p", "1": "q"}
    assert server.calls[0].query == "print=silent&ns=wayguard-demo"


async def test_an_update_takes_paths_and_null_removes(server: RealtimeDatabaseServer, client: Client) -> None:
    await client.at("/", lambda ref: ref.update({"a/b/c": 1, "a/d": {"e": 2}}))
    await client.at("/", lambda ref: ref.update({"a/b/c": None, "a/d/f": 3}))
    assert server.tree == {"a": {"d": {"e": 2, "f": 3}}}


async def test_what_is_deleted_leaves_no_empty_parents(
    server: RealtimeDatabaseServer, client: Client
) -> None:
    await client.at("a/b/c", lambda ref: ref.set(1))
    await client.at("a/b/c", lambda ref: ref.delete())
    assert server.tree is None
    assert await client.at("a", lambda ref: ref.get()) is None


async def test_a_push_makes_keys_in_order(server: RealtimeDatabaseServer, client: Client) -> None:
    first = await client.at("list", lambda ref: ref.push({"n": 1}).key)
    second = await client.at("list", lambda ref: ref.push({"n": 2}).key)
    assert first < second
    assert list(await client.at("list", lambda ref: ref.get(shallow=True))) == [first, second]


async def test_dense_numbers_come_back_as_an_array(client: Client) -> None:
    await client.at("d", lambda ref: ref.set({"0": "a", "1": "b", "2": "c"}))
    assert await client.at("d", lambda ref: ref.get()) == ["a", "b", "c"]
    assert await client.at("d", lambda ref: ref.get(shallow=True)) == {"0": True, "1": True, "2": True}
    await client.at("d", lambda ref: ref.set({"100": "a", "7000": "b"}))
    assert await client.at("d", lambda ref: ref.get()) == {"100": "a", "7000": "b"}


async def test_an_etag_guards_a_write(client: Client) -> None:
    await client.at("n", lambda ref: ref.set(1))
    value, etag = await client.at("n", lambda ref: ref.get(etag=True))
    assert value == 1
    assert await client.at("n", lambda ref: ref.get_if_changed(etag)) == (False, None, None)
    assert (await client.at("n", lambda ref: ref.set_if_unchanged(etag, 2)))[0] is True
    refused, there, newer = await client.at("n", lambda ref: ref.set_if_unchanged(etag, 3))
    assert (refused, there) == (False, 2) and newer != etag
    assert await client.at("n", lambda ref: ref.transaction(lambda now: now + 5)) == 7


@pytest.mark.parametrize(
    "change",
    [
        *({"a.b": 1}, {"a$": 1}, {"a": {"b#": 1}}, {"a": {"[": 1}}, {"a": {"": 1}}, {"x\x7f": 1}, {"": 1}),
        *({"a": 1, "a/b": 2}, {"a/b/c": 1, "a/b": None}, {"k" * 769: 1}),
    ],
    ids=str,
)
async def test_what_the_real_one_refuses_is_refused_whole(
    server: RealtimeDatabaseServer, client: Client, change: dict[str, Any]
) -> None:
    with pytest.raises(exceptions.InvalidArgumentError):
        await client.at("/", lambda ref: ref.update({**change, "good": 1}))
    assert server.tree is None


async def test_namespaces_are_apart(server: RealtimeDatabaseServer, client: Client) -> None:
    await client.at("a", lambda ref: ref.set(1))
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer owner"}) as session:
        async with session.get(f"{server.url}/a.json?ns=other") as answer:
            assert await answer.json() is None
        async with session.get(f"{server.url}/a.json") as answer:
            assert answer.status == 400
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/a.json?ns=wayguard-demo") as answer,
    ):
        assert answer.status == 401
        assert await answer.json() == {"error": "Unauthorized request."}


async def test_it_fails_as_it_is_told(server: RealtimeDatabaseServer, client: Client) -> None:
    server.fault = SimulatedFault(Trouble.STATUS, 401)
    with pytest.raises(exceptions.UnauthenticatedError, match="told to fail"):
        await client.at("a", lambda ref: ref.set(1))
    assert server.tree is None
    server.fault = SimulatedFault(Trouble.LOSE_REPLY)
    with pytest.raises(exceptions.UnavailableError):
        await client.at("a", lambda ref: ref.set(1))
    assert server.tree == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}'])
async def test_what_is_no_json_is_refused(server: RealtimeDatabaseServer, body: bytes) -> None:
    url = f"{server.url}/a.json?ns=wayguard-demo"
    headers = {"Authorization": "Bearer owner"}
    async with aiohttp.ClientSession(headers=headers) as session, session.put(url, data=body) as answer:
        assert answer.status == 400
        assert "couldn't parse JSON" in (await answer.json())["error"]
