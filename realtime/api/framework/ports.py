"""What the HTTP API needs from services that are wired in from outside."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from geo.position import Point
from realtime.auth.tokens import Principal
from realtime.erasure.eraser import ErasureRecord
from realtime.store.people.contacts import ContactRecord
from realtime.store.people.verification_codes import CodeChannel, CodeResult


class RequestAuthenticator(Protocol):
    """Turns a bearer token into a principal, revocation included."""

    async def authenticate(self, request_token: str) -> Principal:
        """Raises Refused(unauthenticated, token_expired, revoked or unavailable)."""

    async def verify(self, token: object) -> Principal:
        """The principal of a token whose signature is right, which may have expired lately or be revoked.

        Raises Refused(unauthenticated, token_expired or unavailable).
        """

    async def authenticate_session(self, value: str | None, *, new: bool) -> Principal:
        """The same of a session's cookie; ``new``: not for one request alone."""


class LatestSource(Protocol):
    """The newest position and the presence of each driver."""

    async def of_vendor(self, tenant: str, vendor: str) -> list[tuple[str, UUID | str, Point, int]]:
        """``(driver, journey id, point, received_ms)`` a driver. Raises Refused(unavailable)."""

    async def presence_of_vendor(self, tenant: str, vendor: str) -> Mapping[str, Mapping[str, Any]]:
        """Driver → ``{state, since_ms, reason}``. Raises Refused(unavailable)."""


class PositionIntake(Protocol):
    """Takes a driver's points, exactly as the socket event ``positions`` does."""

    async def submit(self, principal: Principal, body: bytes) -> bytes:
        """The ack as JSON once committed, ``{"ok": true, "through", "voided", "latest_refused"?}``.
        Raises Refused.
        """


class CodeService(Protocol):
    """Codes that verify a contact's address."""

    async def send(self, tenant: str, contact: ContactRecord, channel: CodeChannel) -> int:
        """Send a new one; until when it is good. Raises Refused: invalid, rate_limited, overloaded,
        unavailable.
        """

    async def test(self, tenant: str, contact: ContactRecord, channel: CodeChannel, by: str) -> None:
        """Send a message marked as a test, in the name of ``by``. Raises Refused: invalid, rate_limited,
        overloaded, unavailable.
        """

    async def verify(
        self, tenant: str, contact: ContactRecord, channel: CodeChannel, code: str
    ) -> CodeResult:
        """Count a try; the right one verifies the address. Raises Refused(unavailable)."""


class EraserService(Protocol):
    """Erases drivers."""

    async def erase(self, tenant: str, driver: str, asked_by: str) -> ErasureRecord:
        """Go on, or begin. Raises Refused: conflict while an alert of the driver is open, unavailable."""


class Condition(Struct, frozen=True):
    """The state of a process, draining included."""

    checks: Mapping[str, bool | str]
    """Name of a check → True when it is fine; else False, or a text that says why not."""
    warnings: Mapping[str, str] = {}
    """What an operator has to mend and what takes no traffic from this process, by name."""


class Health(Protocol):
    """What this process can reach right now."""

    def __call__(self) -> Condition:
        """The state of this process now."""
