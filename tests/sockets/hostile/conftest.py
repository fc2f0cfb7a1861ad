"""One world for all of these tests."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tests.sockets.hostile.kit import World
from tests.sockets.kit import Server


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def world(server: Server, shared_url: str) -> AsyncIterator[World]:
    connection = await asyncpg.connect(shared_url, timeout=20)
    await connection.execute("SET ROLE wayguard_writer")
    yield await World(server, connection).begin()
    await connection.close()
