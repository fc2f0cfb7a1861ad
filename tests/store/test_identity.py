"""Drivers, their epochs and vendors; revoked tokens; the durability check."""

import asyncio
import time

from realtime.store.db.database import Database
from realtime.store.people import tenants

NOW = time.time_ns() // 1_000_000


async def test_each_connect_gets_a_greater_epoch(db: Database) -> None:
    epochs = [await tenants.connect_driver(db, "t1", "north", "d1") for _ in range(3)]
    assert epochs == sorted(set(epochs))
    together = await asyncio.gather(*(tenants.connect_driver(db, "t1", "north", "d1") for _ in range(10)))
    assert len(set(together)) == 10
    assert min(together) > max(epochs)
    assert await tenants.connect_driver(db, "t2", "north", "d1") == epochs[0]


async def test_a_driver_belongs_to_the_vendor_it_last_connected_for(db: Database) -> None:
    assert await tenants.vendor_of(db, "t1", "d1") is None
    await tenants.connect_driver(db, "t1", "north", "d1")
    await tenants.connect_driver(db, "t1", "south", "d1")
    assert await tenants.vendor_of(db, "t1", "d1") == "south"
    assert await tenants.vendor_of(db, "t2", "d1") is None


async def test_vendors_are_made_once(db: Database) -> None:
    vendors = frozenset({"north", "south", "east"})
    await asyncio.gather(*(tenants.ensure_vendors(db, "t1", vendors) for _ in range(5)))
    await tenants.ensure_vendors(db, "t1", [])
    async with db.reader("t1") as connection:
        rows = await connection.fetch("SELECT vendor_id FROM vendors")
    assert {row["vendor_id"] for row in rows} == vendors
