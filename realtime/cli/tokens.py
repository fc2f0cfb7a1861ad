"""`wayguard token` and `wayguard revoke`."""

import asyncio
import time
from enum import StrEnum
from typing import Annotated

import typer

from realtime.cli.environment import fail, settings_here


class TokenRole(StrEnum):
    """Who a token is for."""

    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"
    SERVICE = "service"


def token(
    role: Annotated[TokenRole, typer.Option(help="What the bearer is.")],
    tenant: Annotated[str, typer.Option(help="The customer whose data it opens.")],
    vendor: Annotated[list[str] | None, typer.Option(help="A vendor; repeat for more. Default: all.")] = None,
    driver: Annotated[str | None, typer.Option(help="The driver's id; needed for --role driver.")] = None,
    hours: Annotated[float, typer.Option(min=0.0, help="How long it is valid.")] = 24.0,
) -> None:
    """Print a token, signed with the secret of the system that runs here.

    That is `AUTH_SECRET`, else the one in the data directory.

    Example: `wayguard token --role driver --tenant demo --vendor north --driver d1`
    """
    from realtime.auth.tokens import Authenticator, mint
    from realtime.protocol import Refused

    settings = settings_here()
    try:
        minted = mint(
            settings, role=role.value, tenant=tenant, vendors=vendor, driver=driver, ttl_s=hours * 3600
        )
        # A token that the server would refuse is not worth printing.
        Authenticator(settings).verify(minted)
    except (Refused, ValueError) as problem:
        raise fail(str(problem)) from None
    typer.echo(minted)


def revoke(
    token: Annotated[str, typer.Argument(help="The token, or - to read it from standard input.")],
) -> None:
    """Make a token void before it expires; open sockets that came in with it close within seconds."""
    from realtime.auth.tokens import Authenticator
    from realtime.protocol import Refused
    from realtime.store.db.database import Database

    settings = settings_here()
    text = typer.get_text_stream("stdin").read().strip() if token == "-" else token  # noqa: S105

    async def run(tenant: str, jti: str, expires_ms: int) -> None:
        from realtime.store.people import revocations

        db = await Database.open(settings)
        try:
            await revocations.revoke(db, tenant, jti, verified_expiry_ms=expires_ms)
        finally:
            await db.close()

    try:
        principal = Authenticator(settings).verify(text)
        if principal.jti is None:
            raise fail("the token has no jti, by which it could be named")
        asyncio.run(run(principal.tenant, principal.jti, principal.expires_ms))
    except (Refused, ValueError) as problem:
        raise fail(str(problem)) from None
    left_s = principal.expires_ms / 1000 - time.time()
    typer.echo(f"revoked {principal.jti}; it would have expired in {left_s / 3600:.1f} h")
