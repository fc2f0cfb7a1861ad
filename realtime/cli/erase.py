"""`wayguard erase`."""

import asyncio
from typing import Annotated, Final

import msgspec
import typer

from realtime.cli.environment import fail, settings_here
from realtime.settings import Settings

ANNOUNCE_S: Final = 5.0
"""How long Redis may take to be told; without it each process forgets the driver within 30 s."""


def erase(
    tenant: Annotated[str, typer.Option(help="The customer whose driver it is.")],
    driver: Annotated[str, typer.Option(help="The driver's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a driver from every table, cache and mirror, and print a signed proof as JSON.

    It cannot be undone. Stopped anywhere, or with a part of the system away, it is asked for again and goes
    on. Revoke the driver's tokens first. Exit code 1 while something is left.
    """
    from realtime.protocol import Refused, identifier

    settings = settings_here()
    try:
        identifier(tenant, "tenant")
        identifier(driver, "driver")
        if not yes and not typer.confirm(f"erase {driver} of {tenant} for ever?", err=True):
            raise typer.Exit(1)
        proof, done = asyncio.run(_erased(settings, tenant, driver))
    except (Refused, ValueError) as problem:
        raise fail(str(problem)) from None
    typer.echo(proof)
    if not done:
        raise fail("something is left, or a place was away: run it again")


async def _erased(settings: Settings, tenant: str, driver: str) -> tuple[str, bool]:
    """The proof as JSON, and whether it is done."""
    from realtime.alerting.scope_changes import ScopeChangePublisher
    from realtime.bus.bus import RedisBus
    from realtime.clock import wall_clock_ms
    from realtime.erasure.eraser import Eraser, places_of
    from realtime.mirror.remote import open_remote
    from realtime.processes.web import redis_client
    from realtime.store.db.database import Database

    db, client, remote = await Database.open(settings), redis_client(settings), open_remote(settings)
    bus = RedisBus(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
    announcer = ScopeChangePublisher(bus, wall_clock_ms)
    db.changes.listen(announcer.changed)
    try:
        places = places_of(settings, db, client, remote)
        eraser = Eraser(db, places, settings.alerts_key, wall_clock_ms)
        proof = await eraser.erase(tenant, driver, "wayguard erase")
        await announcer.flush(ANNOUNCE_S)
        return msgspec.json.format(msgspec.json.encode(proof), indent=2).decode(), proof.done
    finally:
        if remote is not None:
            await remote.close()
        await announcer.stop()
        await bus.stop()
        await client.aclose()
        await db.close()
