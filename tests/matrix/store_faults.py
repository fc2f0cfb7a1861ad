"""Rows of the matrix in which Postgres answers and fails statements, the disk is full, or a webhook hangs."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from aiohttp import web

from alerts.attempt import Channel
from alerts.policy import Policy, Step
from alerts.values import Kind
from realtime.auth.tokens import mint
from realtime.engines.postgres import EmbeddedPostgres
from tests.matrix.ledger import Sos
from tests.matrix.phone import Phone
from tests.matrix.world import VENDOR, World
from tests.safety_away.test_postgres_faults import FAIL, broken

PAGE_BYTES: Final = 8_192
GARBAGE_BYTES: Final = 512
ROLES: Final = "wayguard_reader, wayguard_writer"
NOISY: Final = "noisy"
NOISY_DRIVERS: Final = 100
SETTLED_S: Final = 6.0
"""After it every worker has found that a statement fails for good, and imports are tried again."""
SMALL_DISK_BYTES: Final = 4 * 2**30
BLOCK: Final = bytes(2**20)


async def contacts_damaged(world: World, presses: Sequence[Sos]) -> None:
    """Every page of `contacts` begins with garbage: no contact can be read."""
    embedded = world.cluster.postgres.embedded
    assert isinstance(embedded, EmbeddedPostgres)
    look = await world.cluster.look()
    table = embedded.folder / await look.fetchval("SELECT pg_relation_filepath('contacts')")
    await look.close()
    await world.cluster.postgres.stop()
    content = await asyncio.to_thread(table.read_bytes)
    await asyncio.to_thread(_damage, table)
    await world.cluster.postgres.start()
    await world.press_all(presses)
    await world.until_reached(presses)
    await world.cluster.postgres.stop()
    await asyncio.to_thread(table.write_bytes, content)
    await world.cluster.postgres.start()


def _damage(table: Path) -> None:
    with table.open("r+b") as file:
        for at in range(0, table.stat().st_size, PAGE_BYTES):
            file.seek(at)
            file.write(os.urandom(GARBAGE_BYTES))


async def privilege_lost(world: World, presses: Sequence[Sos]) -> None:
    """Neither contacts nor policies may be read any more."""
    async with _statements(
        world,
        f"REVOKE SELECT ON contacts, alert_policies FROM {ROLES}",
        f"GRANT SELECT ON contacts, alert_policies TO {ROLES}",
    ):
        await world.press_all(presses)
        await world.until_reached(presses)


async def table_missing(world: World, presses: Sequence[Sos]) -> None:
    """`driver_safety` is gone."""
    async with _statements(
        world,
        "ALTER TABLE driver_safety RENAME TO driver_safety_lost",
        "ALTER TABLE driver_safety_lost RENAME TO driver_safety",
    ):
        await world.press_all(presses)
        await world.until_reached(presses)


def statements_fail(table: str, command: str, code: str) -> Callable[[World, Sequence[Sos]], Awaitable[None]]:
    """`command` on ``table`` fails with this SQLSTATE; a second press comes right after it works again."""

    async def play(world: World, presses: Sequence[Sos]) -> None:
        owner = await world.cluster.look()
        await owner.execute(FAIL.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
        async with broken(owner, table, code, command):
            await world.press_all(presses)
            await world.until_reached(presses)
            await asyncio.sleep(SETTLED_S)
        await owner.close()
        await world.press_all(presses)

    return play


async def schema_old(world: World, presses: Sequence[Sos]) -> None:
    """Every process starts on a schema without the last migration: none is ready, each takes an SOS."""
    names = (*world.cluster.instances, *world.cluster.workers)
    look = await world.cluster.look()
    last = await look.fetchrow("SELECT * FROM schema_migrations ORDER BY number DESC LIMIT 1")
    await look.execute("DELETE FROM schema_migrations WHERE number = $1", last["number"])
    for name in names:
        await world.cluster.kill(name)
    for name in names:
        await world.until_listens(name)
    await world.press_all(presses, ways=("http",))
    await look.execute(
        "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
        last["number"],
        last["name"],
        last["sha256"],
    )
    await look.close()


async def disk_full(world: World, presses: Sequence[Sos]) -> None:
    """Nothing can be written on the disk of Postgres, Redis and every journal but what they own already."""
    filler = world.cluster.folder / "filler"
    free_bytes = os.statvfs(world.cluster.folder).f_bavail * os.statvfs(world.cluster.folder).f_frsize
    assert free_bytes < SMALL_DISK_BYTES, "the folder is not on a small disk of its own"
    await asyncio.to_thread(_fill, filler)
    filling = asyncio.ensure_future(_keep_full(filler))
    try:
        await world.press_all(presses)
        await world.until_reached(presses)
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        filler.unlink()


def _fill(filler: Path) -> None:
    for block in (BLOCK, bytes(4096)):
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(block)


async def _keep_full(filler: Path) -> None:
    """What a process gives back is taken at once, as a neighbour on the disk would."""
    while True:
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(0.2)


async def webhook_hangs(world: World, presses: Sequence[Sos]) -> None:
    """A hundred alerts of another tenant are sent to a webhook that never answers."""
    async with _hanging_webhook() as url:
        await _seed_noisy(world, url)
        await _press_noisy(world)
        await world.press_all(presses)
        await world.until_reached(presses)


@asynccontextmanager
async def _hanging_webhook() -> AsyncIterator[str]:
    released = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hang)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        released.set()
        await runner.cleanup()


async def _seed_noisy(world: World, url: str) -> None:
    look = await world.cluster.look()
    policy = Policy(steps=(Step(("*",), (Channel.WEBHOOK,), 600),))
    await look.execute("INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", NOISY)
    await look.execute(
        "INSERT INTO contacts (contact_id, tenant_id, name, webhook_url, created_by)"
        " VALUES (gen_random_uuid(), $1, 'Hook', $2, 'matrix')",
        NOISY,
        url,
    )
    await look.execute(
        "INSERT INTO alert_policies (tenant_id, kind, policy, updated_by) VALUES ($1, $2, $3, 'matrix')",
        NOISY,
        Kind.SOS.value,
        msgspec.json.encode(policy).decode(),
    )
    await look.close()


async def _press_noisy(world: World) -> None:
    async def press(number: int) -> None:
        driver = f"n{number}"
        token = mint(world.cluster.settings, role="driver", tenant=NOISY, vendors=[VENDOR], driver=driver)
        sos = Sos("noise", "none", driver, str(uuid4()), 0.0)
        await Phone(world.http, token, world.cluster.url, world.cluster.url).press(sos, ("http",), None)

    await asyncio.gather(*(press(number) for number in range(NOISY_DRIVERS)))


@asynccontextmanager
async def _statements(world: World, fault: str, mend: str) -> AsyncIterator[None]:
    look = await world.cluster.look()
    await look.execute(fault)
    try:
        yield
    finally:
        await look.execute(mend)
        await look.close()
