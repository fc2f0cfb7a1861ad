"""Erasing a driver: from every place that keeps anything of them, with a signed proof.

It may be stopped anywhere and asked for again: it goes on where it was, and what is gone already is no
fault. A place that cannot be asked leaves it unfinished, and the answer says so. A place is one line in
`places_of`.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from realtime.bus.bus import REDIS_FAULTS
from realtime.live.topics import HASHED, state_key
from realtime.mirror import erasure as mirror
from realtime.mirror.remote import RealtimeDatabase, RemoteAway, RemoteRefused
from realtime.protocol import Code, Refused
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.people import erasure as rows
from realtime.store.people import tenants
from realtime.timers.checkins import CheckIns

ROUNDS: Final = 5
"""What a phone that is still sending puts back is erased again so many times."""
PAUSE_S: Final = 0.2
MAX_VENDORS: Final = 10_000


class DataStore(Protocol):
    """Somewhere beside the tables that keeps something of drivers."""

    name: str

    async def count(self, tenant: str, driver: str) -> int:
        """How much of the driver is there. Raises Refused(unavailable)."""

    async def erase(self, tenant: str, driver: str) -> None:
        """Remove it. Is idempotent. Raises Refused(unavailable)."""


class ErasureRecord(Struct, frozen=True):
    """What was where, and that nothing is any more. ``after`` is a fresh count, null for a place that is
    away.

    ``signature``: HMAC-SHA256 by the key of the alerts over the rest, as sorted JSON without spaces.
    """

    erasure_id: UUID
    tenant: str
    driver_sha256: str
    asked_by: str
    asked_ms: int
    done_ms: int | None
    places: dict[str, tuple[int | None, int | None]]
    signature: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing is left anywhere."""
        return self.done_ms is not None


class Eraser:
    """Erases from the tables and from ``places``. ``key`` signs."""

    def __init__(
        self,
        db: Database,
        places: Sequence[DataStore],
        key: str,
        now_ms: Callable[[], int],
        pause_s: float = PAUSE_S,
    ) -> None:
        self._db: Final = db
        self._places: Final = places
        self._key: Final = key
        self._now_ms: Final = now_ms
        self._pause_s: Final = pause_s

    async def erase(self, tenant: str, driver: str, asked_by: str) -> ErasureRecord:
        """Erase, count again, and say what was found; ``done`` unless something is left or away.

        Raises Refused: conflict while an alert of the driver is open, unavailable.
        """
        if await rows.has_open_alert(self._db, tenant, driver):
            raise Refused(Code.CONFLICT, "an alert of this driver is open")
        erasure = await rows.begin(self._db, tenant, driver, asked_by)
        await self._count_before(driver, erasure)
        after: dict[str, int | None] = {}
        for number in range(ROUNDS):
            if number:
                await asyncio.sleep(self._pause_s)
                found = await rows.begin(self._db, tenant, driver, asked_by)
                erasure.work = found.work
            await rows.erase(self._db, driver, erasure)
            for place in self._places:
                await self._erased(place, tenant, driver)
            after = await self._count(driver, erasure)
            if not any(after.values()):
                break
        return await self._proved(driver, erasure, after)

    async def _count_before(self, driver: str, erasure: rows.Erasure) -> None:
        """What was there when it began; a place that was away then is counted when it is back."""
        for name, count in (await self._count(driver, erasure)).items():
            if count is not None:
                erasure.before.setdefault(name, count)
        await rows.keep(self._db, erasure)

    async def _count(self, driver: str, erasure: rows.Erasure) -> dict[str, int | None]:
        counts: dict[str, int | None] = {**await rows.count(self._db, driver, erasure)}
        for place in self._places:
            try:
                counts[place.name] = await place.count(erasure.tenant, driver)
            except Refused:
                counts[place.name] = None
        return counts

    async def _erased(self, place: DataStore, tenant: str, driver: str) -> None:
        try:
            await place.erase(tenant, driver)
        except Refused:
            return  # the count says that it is away

    async def _proved(
        self, driver: str, erasure: rows.Erasure, after: dict[str, int | None]
    ) -> ErasureRecord:
        done = all(count == 0 for count in after.values())
        done_ms = self._now_ms() if done else None
        places = {name: (erasure.before.get(name), count) for name, count in sorted(after.items())}
        proof = signed(
            ErasureRecord(
                erasure_id=erasure.erasure_id,
                tenant=erasure.tenant,
                driver_sha256=rows.digest_of(erasure.tenant, driver).hex(),
                asked_by=erasure.asked_by,
                asked_ms=erasure.asked_ms,
                done_ms=done_ms,
                places=places,
            ),
            self._key,
        )
        if done_ms is not None:
            await rows.finish(self._db, erasure, msgspec.to_builtins(proof), done_ms)
        return proof


def signed(proof: ErasureRecord, key: str) -> ErasureRecord:
    """``proof`` with its signature."""
    return msgspec.structs.replace(proof, signature=_signature(proof, key))


def is_signed(proof: ErasureRecord, key: str) -> bool:
    """Whether ``proof`` is as it was made."""
    return hmac.compare_digest(proof.signature, _signature(proof, key))


def _signature(proof: ErasureRecord, key: str) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(proof)
    del fields["signature"]
    text = msgspec.json.encode(fields, order="sorted")
    return hmac.new(key.encode(), b"wayguard erasure\0" + text, hashlib.sha256).hexdigest()


def places_of(
    settings: Settings, db: Database, client: Client, remote: RealtimeDatabase | None
) -> list[DataStore]:
    """Every place there is beside the tables. ``remote``: the mirror's database, None when there is none."""
    places: list[DataStore] = [
        RedisDataStore(db, client, settings.redis_timeout_s),
        CheckInDataStore(CheckIns(client, timeout_s=settings.redis_timeout_s)),
    ]
    if remote is not None:
        places.append(MirrorDataStore(remote))
    return places


class RedisDataStore:
    """The latest position and the presence of a driver, in the hash of every vendor they ever drove for."""

    name = "redis"

    def __init__(self, db: Database, client: Client, timeout_s: float) -> None:
        self._db: Final = db
        self._client: Final = client
        self._timeout_s: Final = timeout_s

    async def count(self, tenant: str, driver: str) -> int:
        """In how many hashes the driver is."""
        return sum([bool(one) for one in await self._each("hexists", tenant, driver)])

    async def erase(self, tenant: str, driver: str) -> None:
        """Out of all of them."""
        await self._each("hdel", tenant, driver)

    async def _each(self, command: str, tenant: str, driver: str) -> list[Any]:
        vendors = await tenants.vendors_of(self._db, tenant, MAX_VENDORS)
        pipe = self._client.pipeline(transaction=False)
        for vendor in vendors:
            for what in HASHED.values():
                getattr(pipe, command)(state_key(tenant, vendor, what), driver)
        if not vendors:
            return []
        try:
            async with asyncio.timeout(self._timeout_s):
                answers: list[Any] = await pipe.execute()
        except REDIS_FAULTS as error:
            raise Refused(Code.UNAVAILABLE, "redis is unavailable, try again", retry_after_s=1) from error
        return answers


class CheckInDataStore:
    """The answers of a driver to their timers that Redis stores for Postgres."""

    name = "checkins"

    def __init__(self, checkins: CheckIns) -> None:
        self._checkins: Final = checkins

    async def count(self, tenant: str, driver: str) -> int:
        """How many there are."""
        try:
            return await self._checkins.count(tenant, driver)
        except REDIS_FAULTS as error:
            raise Refused(Code.UNAVAILABLE, "redis is unavailable, try again", retry_after_s=1) from error

    async def erase(self, tenant: str, driver: str) -> None:
        """Delete them."""
        try:
            await self._checkins.forget(tenant, driver)
        except REDIS_FAULTS as error:
            raise Refused(Code.UNAVAILABLE, "redis is unavailable, try again", retry_after_s=1) from error


class MirrorDataStore:
    """The driver's nodes in the Firebase mirror."""

    name = "firebase"

    def __init__(self, remote: RealtimeDatabase) -> None:
        self._remote: Final = remote

    async def count(self, tenant: str, driver: str) -> int:
        """How many nodes there are."""
        try:
            return len(await mirror.paths_of_driver(self._remote, tenant, None, driver))
        except (RemoteAway, RemoteRefused) as error:
            raise Refused(Code.UNAVAILABLE, "firebase is unavailable, try again", retry_after_s=5) from error

    async def erase(self, tenant: str, driver: str) -> None:
        """Remove them, and what the worker may have had under way."""
        try:
            await mirror.erase(self._remote, tenant, None, driver)
        except (RemoteAway, RemoteRefused) as error:
            raise Refused(Code.UNAVAILABLE, "firebase is unavailable, try again", retry_after_s=5) from error
