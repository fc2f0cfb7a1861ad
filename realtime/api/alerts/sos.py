"""``POST /api/v1/sos``: a cry for help by HTTP, beside the one by socket. Almost anything is taken.

Only a validly signed token and a ``sos_id`` are needed. Nothing here is rate-limited, nothing waits for a
position, and a body that is too large, cut short or broken is read as far as it goes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from alerts.alert import Press
from alerts.driver_view import as_shown_to_driver
from alerts.ports import Taken
from alerts.press import parse_press
from realtime.api.framework.operation import OperationCall, bearer
from realtime.api.framework.shapes import NoBody, NoPath, NoQuery, SosAck
from realtime.auth.tokens import Principal
from realtime.http.bodies import BODY_TIMEOUT_S, read_what_comes
from realtime.metrics import instruments
from realtime.protocol import Code, Refused

READ_BYTES: Final = 2 * 1024 * 1024
"""Of a body at most; a megabyte of message is read, and then dropped for what it is."""
SWALLOWED_BYTES: Final = 16 * 1024 * 1024
"""Read and thrown away beyond that, so that the answer finds somebody who listens."""
SOURCE: Final = "http"


class SosAuthenticator(Protocol):
    """Lets a cry for help in where others are kept out."""

    async def authenticate_sos(self, token: object) -> Principal:
        """The driver of a token that is rightly signed, expired up to 30 days, and not revoked as far as is
        known. Raises Refused(unauthenticated, token_expired or revoked).
        """


class SosIntake(Protocol):
    """Keeps it."""

    async def press(self, press: Press) -> Taken:
        """Keep a press durably. Idempotent by ``sos_id``. Raises Refused(unavailable)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SosLimits:
    """How much of a body is read, and for how long."""

    body_timeout_s: float = BODY_TIMEOUT_S
    read_bytes: int = READ_BYTES
    discard_bytes: int = SWALLOWED_BYTES


SOS_LIMITS: Final = SosLimits()
"""Those of production."""


@dataclass(frozen=True, slots=True)
class SosDesk:
    """What the operation needs; an application that serves it has one under `DESK`."""

    authenticator: SosAuthenticator
    intake: SosIntake
    now_ms: Callable[[], int]
    limits: SosLimits = SOS_LIMITS


DESK: Final = web.AppKey("sos", SosDesk)


async def raise_sos(call: OperationCall[NoPath, NoQuery, NoBody]) -> SosAck:
    """Durable when this returns; the same ``sos_id`` again returns the same alert."""
    desk = call.request.app[DESK]
    principal = await desk.authenticator.authenticate_sos(bearer(call.request))
    driver, vendor = principal.driver, principal.home_vendor
    if principal.role != "driver" or driver is None or vendor is None:
        raise Refused(Code.FORBIDDEN, "only a driver raises an sos")
    limits = desk.limits
    body = await read_what_comes(call.request, limits.read_bytes, limits.discard_bytes, limits.body_timeout_s)
    received_ms = desk.now_ms()
    try:
        press = parse_press(
            body,
            tenant=principal.tenant,
            vendor=vendor,
            driver=driver,
            received_ms=received_ms,
            source=SOURCE,
            token_expired=principal.expires_ms <= received_ms,
        )
    except ValueError as error:
        raise Refused(Code.INVALID, str(error)) from error
    taken = await desk.intake.press(press)
    instruments.SOS_TAKEN.labels(SOURCE, taken.durability).inc()
    shown = as_shown_to_driver(taken.alert)
    return SosAck(alert_id=shown.alert_id, state=shown.state, durability=taken.durability)
