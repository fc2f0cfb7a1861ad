"""Makes the golden keys of Redis: live state, presence, replicas of journals, leases, check-ins, a session.

Made with release 9ecb5eb as `tests.golden.make`, and not run again. The cases are of the golden journal.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from geo.position import Point
from realtime.engines.redis import EmbeddedRedis
from tests.engines_fixtures import engine_folder
from tests.golden import names
from tests.golden.make import FOLDER, NOW_MS, SECRET

TENANT: Final = "t1"
VENDOR: Final = "north"
INSTANCE: Final = "web-1"
JOURNEY: Final = "0190a000-0000-7000-8000-0000000000f1"
DRIVERS: Final = ("d1", "d ñ|2", "d3")
NEXT_MS: Final = NOW_MS + 1_000


def positions() -> list[Any]:
    """Of each driver one; that of the last is of a journey that has ended."""
    points = (
        Point(7, NOW_MS, 53.4, -2.9, 8.5, 90.0, 5.0, 10.0, 77.0),
        Point(8, NOW_MS, 53.41, -2.91),
        Point(9, NOW_MS, 53.42, -2.92, battery_pct=3.0),
    )
    return [
        names.StoredValue(
            names.position_item(driver, JOURNEY, point, names.order_of(NOW_MS, ended=driver == "d3")),
            str(NOW_MS),
        )
        for driver, point in zip(DRIVERS, points, strict=True)
    ]


def presences() -> list[Any]:
    """Of each driver another state."""
    said = (("online", "connected"), ("stale", "silent"), ("offline", "left"))
    return [
        names.StoredValue(
            names.presence_item(driver, names.presence_order(3, NOW_MS), state, NOW_MS, reason), INSTANCE
        )
        for driver, (state, reason) in zip(DRIVERS, said, strict=True)
    ]


def replica_key() -> bytes:
    """The key that seals replicas."""
    return names.local_key(names.Settings(auth_secret=SECRET), "journal")  # type: ignore[arg-type]


async def golden_cases() -> list[Any]:
    """The cases of the golden journal."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "journal").write_bytes(bytes.fromhex((FOLDER / "journal.hex").read_text()))
        ledger = await names.LocalLedger.open(Path(folder), replica_key(), now_ms=lambda: NOW_MS)
        kept = sorted(ledger.all(), key=lambda one: str(one.case.alert.alert_id))
        await ledger.close()
    return kept


def plain(value: Any) -> Any:
    """``value`` as plain JSON values."""
    return json.loads(msgspec.json.encode(value))


async def read_redis(client: Any, cookie: str, code: str) -> dict[str, Any]:
    """What a process that has written none of it reads, as plain values."""
    state = names.LiveState(client, 5.0)
    read = {
        kind: sorted(
            [one.item.key, one.item.order, one.item.fragment.decode(), one.origin]
            for one in await state.read(TENANT, VENDOR, kind)
        )
        for kind in (names.POSITIONS, names.PRESENCE)
    }
    exchange = names.ReplicaExchange(client, "another", replica_key())
    copies = [copy async for copy in exchange.read(())]
    ids = sorted(copy.kept.case.alert.alert_id for copy in copies)
    book = names.SessionStore(client, 5.0, max_s=1_000.0, now_ms=lambda: NEXT_MS)
    session = await book.open(cookie, new=True)
    listed, _ = await book.of_subject(TENANT, "olga", None, 10)
    pairing = await names.Pairings(client, 5.0).look(code)
    return {
        **read,
        "is_built": await state.is_built(TENANT, VENDOR),
        "replicas": plain(sorted((copy.field, copy.kept) for copy in copies)),
        "holders": await names.Leases(client, "another").holders(ids),
        "checkins": plain([one.answer for one in await names.CheckIns(client).read()]),
        "session": plain(session),
        "sessions_of_subject": [one.session_id for one in listed],
        "pairing": plain(pairing),
        "instances": sorted(name.decode() for name in await client.smembers(names.INSTANCES_KEY)),
        "lease": bool(await client.exists(names.instance_lease_key(INSTANCE))),
        "mark": bool(await client.exists(names.mark_key(TENANT, VENDOR, INSTANCE))),
    }


async def _write(client: Any) -> tuple[str, str]:
    """Write all; the cookie of the session and the pairing code."""
    state = names.LiveState(client, 5.0)
    await state.write(TENANT, VENDOR, names.POSITIONS, positions())
    await state.write(TENANT, VENDOR, names.PRESENCE, presences())
    await state.mark_built(TENANT, VENDOR)
    cases = await golden_cases()
    exchange = names.ReplicaExchange(client, INSTANCE, replica_key())
    _ = [copy async for copy in exchange.read(())]  # the first look marks the epoch
    assert await exchange.show(cases)
    ids = sorted(one.case.alert.alert_id for one in cases)
    assert len(await names.Leases(client, INSTANCE).take(ids[:2])) == 2
    checkins = names.CheckIns(client)
    await checkins.keep(names.CheckIn(TENANT, "d1", names.CheckInAction.CHECK_IN))
    await checkins.keep(names.CheckIn(TENANT, "d1", names.CheckInAction.ARRIVE))
    olga = names.Principal("olga", "dispatcher", TENANT, frozenset({VENDOR}), None, "j-1", 4_000_000_000_000)
    book = names.SessionStore(client, 5.0, max_s=30 * 86_400.0, now_ms=lambda: NOW_MS)
    _, cookie = await book.begin(olga, "192.0.2.1", "a browser")
    code = await names.Pairings(client, 5.0).offer(names.Pairing(TENANT, VENDOR, "d1", "j-2", "olga", "j-1"))
    await client.set(names.instance_lease_key(INSTANCE), b"1", px=6_000)
    await client.set(names.mark_key(TENANT, VENDOR, INSTANCE), b"1", px=60_000)
    await client.sadd(names.INSTANCES_KEY, INSTANCE)
    return cookie, code


async def _dumped(client: Any) -> dict[str, Any]:
    found = {}
    for key in sorted([key async for key in client.scan_iter()]):
        kind = (await client.type(key)).decode()
        if kind == "string":
            value: Any = (await client.get(key)).hex()
        elif kind == "hash":
            value = {field.hex(): text.hex() for field, text in (await client.hgetall(key)).items()}
        elif kind == "set":
            value = sorted(member.hex() for member in await client.smembers(key))
        else:
            value = [
                [member.hex(), score] for member, score in await client.zrange(key, 0, -1, withscores=True)
            ]
        found[key.decode()] = {"type": kind, "expires": await client.pttl(key) > 0, "value": value}
    return found


async def put(client: Any, keys: dict[str, Any]) -> None:
    """Put golden keys into an empty Redis, without an end."""
    for key, one in keys.items():
        value = one["value"]
        if one["type"] == "string":
            await client.set(key, bytes.fromhex(value))
        elif one["type"] == "hash":
            await client.hset(key, mapping={bytes.fromhex(f): bytes.fromhex(v) for f, v in value.items()})
        elif one["type"] == "set":
            await client.sadd(key, *map(bytes.fromhex, value))
        else:
            await client.zadd(key, {bytes.fromhex(member): score for member, score in value})


def case_id(number: int) -> UUID:
    """The id of one of the cases, in order."""
    cases = json.loads((FOLDER / "journal.json").read_text())
    return UUID(sorted(one["case"]["alert"]["alert_id"] for one in cases)[number])


async def _make(url: str) -> None:
    client = names.client(url, timeout_s=5.0, max_connections=5)
    cookie, code = await _write(client)
    golden = {
        "keys": await _dumped(client),
        "cookie": cookie,
        "code": code,
        "read": await read_redis(client, cookie, code),
    }
    await client.aclose()
    (FOLDER / "redis.json").write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Write the file; starts a Redis."""
    with engine_folder() as folder:
        server = EmbeddedRedis(folder, port=0)
        server.start()
        try:
            asyncio.run(_make(server.url))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
