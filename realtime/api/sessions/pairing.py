"""Pairing a driver's phone: a code of the console, shown as a QR code, becomes a driver's token once."""

import logging
import uuid
from typing import Any, Final

from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery
from realtime.api.people.scopes import scope_of
from realtime.api.sessions.shapes import NewPairing, Paired, PairingCode, PairingPath, PairingRequest
from realtime.auth import authorize
from realtime.auth.tokens import mint
from realtime.contacts import validation
from realtime.http.proxy import Addresses
from realtime.protocol import Code, Refused
from realtime.sessions.pairings import TTL_S, Pairing
from realtime.settings import Settings
from realtime.store.people import driver_settings, pairings, revocations, tenants
from realtime.store.people.tenants import Author

log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000


async def create_pairing(call: OperationCall[NoPath, NoQuery, PairingRequest]) -> NewPairing:
    """The driver is made when nobody has named it before; one of another vendor is no such driver."""
    context, principal, body = call.context, call.principal, call.body
    if not authorize.may_pair(principal, body.vendor):
        raise Refused(Code.FORBIDDEN, "this vendor's phones are not yours to pair")
    _check_can_mint(context.settings)
    name = None if body.name is None else validation.name_of(body.name)
    await scope_of(call, body.vendor, body.driver, make=True)
    if name is not None:
        await _name(call, name)
    pairing = Pairing(
        tenant=principal.tenant,
        vendor=body.vendor,
        driver=body.driver,
        jti=uuid.uuid4().hex,
        by=principal.sub,
        by_jti=principal.jti,
    )
    expires_ms = context.now_ms() + TTL_S * 1000
    token_ms = context.settings.pairing_token_days * _DAY_MS
    await pairings.note(
        context.db, pairing.tenant, pairing.jti, body.vendor, body.driver, expires_ms + token_ms
    )
    code = await context.pairings.offer(pairing)
    log.info("pairing %s of tenant %s was offered by %r", pairing.jti, pairing.tenant, pairing.by)
    url = f"{context.settings.public_url.rstrip('/')}/drive#pair={code}"
    return NewPairing(url=url, jti=pairing.jti, expires_at=expires_ms)


async def redeem_pairing(call: OperationCall[NoPath, NoQuery, PairingCode]) -> Paired:
    """A code that is wrong, used, old, or whose driver or giver is not what they were has one answer."""
    context, settings = call.context, call.context.settings
    address = Addresses(settings.trusted_proxies).of(call.request)
    await context.limiter.check_address(address, "redeem_pairing")
    _check_can_mint(settings)
    pairing = await context.pairings.look(call.body.code)
    if pairing is None or not await _still_stands(call, pairing):
        raise _not_valid()
    if await context.pairings.take(call.body.code) is None:  # last, so that no outage uses it up
        raise _not_valid()
    ttl_ms = settings.pairing_token_days * _DAY_MS
    token = mint(
        settings,
        role="driver",
        tenant=pairing.tenant,
        vendors=[pairing.vendor],
        driver=pairing.driver,
        ttl_s=ttl_ms / 1000,
        jti=pairing.jti,
    )
    log.info("pairing %s of tenant %s was redeemed", pairing.jti, pairing.tenant)
    return Paired(
        token=token,
        driver=pairing.driver,
        vendor=pairing.vendor,
        tenant=pairing.tenant,
        expires_at=context.now_ms() + ttl_ms,
        safety_url=settings.safety_url.rstrip("/"),
    )


async def revoke_pairing(call: OperationCall[PairingPath, NoQuery, NoBody]) -> Done:
    """One of another vendor is answered like one that does not exist. The phone's sockets end in 5 s."""
    db, principal, jti = call.context.db, call.principal, call.path.jti
    if not authorize.may_revoke_tokens(principal):
        raise Refused(Code.FORBIDDEN, "only an admin or a service revokes pairings")
    vendor = await pairings.vendor_of(db, principal.tenant, jti)
    if vendor is None or not authorize.may_revoke_pairing(principal, vendor):
        raise Refused(Code.NOT_FOUND, "no such pairing")
    await revocations.revoke(db, principal.tenant, jti)
    log.info("pairing %s of tenant %s was revoked by %r", jti, principal.tenant, principal.sub)
    return Done()


def _not_valid() -> Refused:
    return Refused(Code.NOT_FOUND, "the code is not valid")


def _check_can_mint(settings: Settings) -> None:
    if not settings.auth_secret.get_secret_value() or "HS256" not in settings.auth_algorithms:
        raise Refused(Code.CONFLICT, "pairing needs AUTH_SECRET, and HS256 among AUTH_ALGORITHMS")


async def _still_stands(call: OperationCall[Any, Any, Any], pairing: Pairing) -> bool:
    """Whether the driver still is that vendor's, and who offered it has not been shut out since."""
    db = call.context.db
    if await tenants.vendor_of(db, pairing.tenant, pairing.driver) != pairing.vendor:
        return False
    jtis = [jti for jti in (pairing.jti, pairing.by_jti) if jti is not None]
    return not any([await revocations.is_revoked(db, pairing.tenant, jti) for jti in jtis])


async def _name(call: OperationCall[Any, Any, PairingRequest], name: str) -> None:
    """A name that the driver has already stays."""
    db, tenant, driver = call.context.db, call.principal.tenant, call.body.driver
    known = await driver_settings.get(db, tenant, driver)
    if not known.name:
        by = Author(call.principal.role, call.principal.sub)
        await driver_settings.describe(db, tenant, driver, name, known.language, by)
