"""What is written through the API: positions of an app whose socket is down, and tokens declared void."""

from typing import Any

import msgspec

from realtime import access
from realtime.api.operation import Call
from realtime.api.shapes import Done, NoBody, NoPath, NoQuery, PositionsAck, Revocation
from realtime.protocol import Code, Refused
from realtime.store import revocations


async def submit_positions(call: Call[NoPath, NoQuery, NoBody]) -> PositionsAck:
    """The same service, body and ack as the socket event ``positions``."""
    driver = call.principal.driver
    if driver is None or not access.may_write(call.principal, call.principal.tenant, driver):
        raise Refused(Code.FORBIDDEN, "only a driver sends positions")
    ack = await call.context.positions.submit(call.principal, call.raw_body)
    if not ack["ok"]:
        raise _refused(**ack["error"])
    return msgspec.convert(ack, PositionsAck)


def _refused(
    *, code: str, message: str, retryable: bool, retry_after_s: float | None = None, **extra: Any
) -> Refused:
    """The refusal that an ack tells of."""
    return Refused(Code(code), message, retry_after_s=retry_after_s, **extra)


async def revoke_token(call: Call[NoPath, NoQuery, Revocation]) -> Done:
    """Sockets of that token close within 5 s, on every instance."""
    if not access.may_revoke_tokens(call.principal):
        raise Refused(Code.FORBIDDEN, "only an admin or a service revokes tokens")
    await revocations.revoke(call.context.db, call.principal.tenant, call.body.jti, call.body.expires_at)
    return Done()
