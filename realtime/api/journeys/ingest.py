"""What is written through the API: positions of an app whose socket is down, and tokens declared void."""

from aiohttp import web

from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery, Revocation
from realtime.api.framework.spellings import BOM
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused
from realtime.store.people import revocations


async def submit_positions(call: OperationCall[NoPath, NoQuery, NoBody]) -> web.StreamResponse:
    """The same service, body and ack (`PositionsAck`) as the socket event ``positions``."""
    driver = call.principal.driver
    if driver is None or not authorize.may_write(call.principal, call.principal.tenant, driver):
        raise Refused(Code.FORBIDDEN, "only a driver sends positions")
    ack = await call.context.positions.submit(call.principal, call.raw_body.removeprefix(BOM))
    return web.Response(body=ack, content_type="application/json")


async def revoke_token(call: OperationCall[NoPath, NoQuery, Revocation]) -> Done:
    """Sockets of that token close within 5 s, on every instance."""
    principal, body, db = call.principal, call.body, call.context.db
    if not authorize.may_revoke_tokens(principal):
        raise Refused(Code.FORBIDDEN, "only an admin or a service revokes tokens")
    if body.expires_at is not None and body.expires_at <= call.context.now_ms():
        raise Refused(Code.INVALID, "expires_at is in the past; it is in milliseconds, and not needed")
    if body.token is not None and body.jti is None:
        holder = await _holder(call, body.token)
        assert holder.jti is not None
        await revocations.revoke(db, principal.tenant, holder.jti, verified_expiry_ms=holder.expires_ms)
    elif body.jti is not None and body.token is None:
        if not authorize.may_revoke_by_jti(principal):
            raise Refused(
                Code.FORBIDDEN,
                "a jti does not say whose token it is: show the token, or revoke its session or pairing",
            )
        await revocations.revoke(db, principal.tenant, body.jti)
    else:
        raise Refused(Code.INVALID, "give a jti or a token, and not both")
    return Done()


async def _holder(call: OperationCall[NoPath, NoQuery, Revocation], token: str) -> Principal:
    """Whose ``token`` is, by its signature. One of another tenant or vendor is answered like none at all."""
    try:
        holder = await call.context.authenticator.verify(token)
    except Refused as refused:
        if refused.code is Code.UNAVAILABLE:
            raise
        raise _unknown() from refused
    if not authorize.may_revoke_token_of(call.principal, holder):
        raise _unknown()
    if holder.jti is None:
        raise Refused(Code.INVALID, "the token has no jti, by which it could be revoked")
    return holder


def _unknown() -> Refused:
    return Refused(Code.NOT_FOUND, "no such token that is yours to revoke")
