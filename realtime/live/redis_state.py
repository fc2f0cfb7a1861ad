"""Latest positions and presence of every driver, kept in Redis so that any instance can tell a newcomer.

A hash a vendor and kind: driver → ``order|origin|ready JSON``. Newer wins, by a script, whoever writes last.
Positions are rebuilt from Postgres when Redis has lost them (the ``built`` key says that it has not).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError

from realtime.bus.bus import REDIS_FAULTS, BusItem
from realtime.live.topics import HASHED, state_key
from realtime.protocol import Code, Refused
from realtime.redis.client import Client
from realtime.redis.lua import pack

_SCRIPT: Final = Path(__file__).with_name("keep_newer.lua").read_text(encoding="utf-8")
BUILT_TTL_S: Final = 7 * 86_400
CALL_VALUES: Final = 500
"""What one call of the script takes at most: Redis serves nobody else meanwhile (about 1 ms)."""


class StoredValue(NamedTuple):
    """One value: ``origin`` is the arrival time of a position, the instance of a presence."""

    item: BusItem
    origin: str


Write = tuple[str, str, str, Sequence[StoredValue]]
"""A tenant, a vendor, a kind, and the values of that hash."""


class LiveState:
    """Reads and writes the hashes. Every call is bounded by ``timeout_s`` and raises Refused(unavailable)."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._sha: str | None = None
        self._call_hashes = 1 if isinstance(client, RedisCluster) else CALL_VALUES

    async def write(self, tenant: str, vendor: str, kind: str, values: Sequence[StoredValue]) -> None:
        """Store what is newer than what is there."""
        await self.write_many([(tenant, vendor, kind, values)])

    async def write_many(self, writes: Sequence[Write]) -> None:
        """Store several hashes' values in one round trip."""

        async def run() -> None:
            if self._sha is None:
                self._sha = await self._client.script_load(_SCRIPT)
            pipe = self._client.pipeline(transaction=False)
            for keys, args in _calls(writes, self._call_hashes):
                pipe.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
            try:
                await pipe.execute()
            except NoScriptError:
                self._sha = None  # an emptied Redis has forgotten it
                raise

        try:
            await self._bounded(run)
        except Refused:
            if self._sha is not None:
                raise
            await self._bounded(run)

    async def read(self, tenant: str, vendor: str, kind: str) -> list[StoredValue]:
        """Everything of one hash."""
        key = state_key(tenant, vendor, HASHED[kind])
        values = await self._bounded(lambda: self._client.hgetall(key))
        return [_stored(driver.decode(), value) for driver, value in values.items()]

    async def read_one(self, tenant: str, vendor: str, kind: str, driver: str) -> StoredValue | None:
        """One driver's value of a hash."""
        key = state_key(tenant, vendor, HASHED[kind])
        value = await self._bounded(lambda: self._client.hget(key, driver))
        return None if value is None else _stored(driver, value)

    async def is_built(self, tenant: str, vendor: str) -> bool:
        """Whether the latest positions are complete, not only what came since Redis lost them."""
        return bool(await self._bounded(lambda: self._client.exists(state_key(tenant, vendor, "built"))))

    async def mark_built(self, tenant: str, vendor: str) -> None:
        """Say that the latest positions are complete."""
        key = state_key(tenant, vendor, "built")
        await self._bounded(lambda: self._client.set(key, b"1", ex=BUILT_TTL_S))

    async def _bounded(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call()
        except REDIS_FAULTS as error:
            raise Refused(Code.UNAVAILABLE, "the live state is unavailable", retry_after_s=1) from error


def _stored(driver: str, value: bytes) -> StoredValue:
    order, origin, fragment = value.split(b"|", 2)
    return StoredValue(BusItem(driver, int(order), fragment), origin.decode())


def _calls(writes: Sequence[Write], max_hashes: int) -> Iterator[tuple[list[str], list[bytes]]]:
    """Keys and arguments of the script, call by call, each of a bounded number of values and hashes."""
    keys, args, count = list[str](), list[bytes](), 0
    for tenant, vendor, kind, values in writes:
        for start in range(0, len(values), CALL_VALUES):
            part = values[start : start + CALL_VALUES]
            if keys and (count + len(part) > CALL_VALUES or len(keys) == max_hashes):
                yield keys, args
                keys, args, count = [], [], 0
            offers: list[bytes] = []
            for (key, order, fragment), origin in part:
                offers += (key.encode(), f"{order}|{origin}|".encode() + fragment)
            keys.append(state_key(tenant, vendor, HASHED[kind]))
            args.append(pack(offers))
            count += len(part)
    if keys:
        yield keys, args
