"""The wire protocol's shapes: identifiers, payloads, error codes. DESIGN of record: docs/PROTOCOL.md."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from msgspec import Raw, Struct, field

from geo.position import Point

MAX_POINTS: Final = 500
MAX_SKIP: Final = 10_000
SNAPSHOT_POINTS: Final = 5_000

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@:+-]{0,63}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class Code(StrEnum):
    """Error codes; each is a metric label and a log word too."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  a code, not a secret
    REVOKED = "revoked"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EXPECTED_SEQ = "expected_seq"
    TOO_MANY_POINTS = "too_many_points"
    TOO_MANY_FEEDS = "too_many_feeds"
    JOURNEY_ENDED = "journey_ended"
    JOURNEY_EXPIRED = "journey_expired"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    UNKNOWN_EVENT = "unknown_event"
    BINARY_REFUSED = "binary_refused"
    ORIGIN_REFUSED = "origin_refused"
    TOO_LARGE = "too_large"
    STALLED = "stalled"
    DRAINING = "draining"
    INTERNAL = "internal"


HTTP_STATUS: Final[Mapping[Code, int]] = {
    Code.MALFORMED: 400,
    Code.INVALID: 400,
    Code.UNAUTHENTICATED: 401,
    Code.TOKEN_EXPIRED: 401,
    Code.REVOKED: 401,
    Code.FORBIDDEN: 403,
    Code.ORIGIN_REFUSED: 403,
    Code.NOT_FOUND: 404,
    Code.STALLED: 408,
    Code.CONFLICT: 409,
    Code.EXPECTED_SEQ: 409,
    Code.JOURNEY_ENDED: 409,
    Code.JOURNEY_EXPIRED: 410,
    Code.TOO_LARGE: 413,
    Code.TOO_MANY_POINTS: 413,
    Code.TOO_MANY_FEEDS: 429,
    Code.RATE_LIMITED: 429,
    Code.OVERLOADED: 503,
    Code.UNAVAILABLE: 503,
    Code.DRAINING: 503,
    Code.UNKNOWN_EVENT: 404,
    Code.INTERNAL: 500,
}

_RETRYABLE: Final = frozenset(
    {
        Code.EXPECTED_SEQ,
        Code.RATE_LIMITED,
        Code.OVERLOADED,
        Code.UNAVAILABLE,
        Code.DRAINING,
        Code.STALLED,
        Code.INTERNAL,
    }
)


class Refused(Exception):
    """A request that is answered with a coded error and changes nothing.

    ``message`` is one short lower-case fact; ``extra`` goes into the error object as it is
    (``expected``, ``conflicts`` …).
    """

    def __init__(self, code: Code, message: str, *, retry_after_s: float | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.extra = extra

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in _RETRYABLE

    def as_answer(self) -> dict[str, Any]:
        """``{"ok": false, "error": {"code", "message", "retryable", "retry_after_s"?, …}}``."""
        error: dict[str, Any] = {
            "code": self.code.value,
            "message": self.message,
            "retryable": self.retryable,
        }
        if self.retry_after_s is not None:
            error["retry_after_s"] = round(self.retry_after_s, 3)
        error.update(self.extra)
        return {"ok": False, "error": error}


def identifier(value: object, name: str) -> str:
    """``value`` as a tenant, vendor or driver id: 1–64 of ``A-Za-z0-9._~@:+-``, first one alphanumeric.

    Raises Refused(invalid).
    """
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise Refused(Code.INVALID, f"{name} is not an identifier: {shown(value)}")
    return value


def uuid_text(value: object, name: str) -> str:
    """``value`` as a lower-case hyphenated UUID. Raises Refused(invalid)."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value
        if _UUID.fullmatch(lowered := value.lower()):
            return lowered
    raise Refused(Code.INVALID, f"{name} is not a uuid: {shown(value)}")


def shown(value: object) -> str:
    """``value`` short and harmless enough to stand in an error."""
    text = ascii(value) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."


NOTHING: Final = Raw(b"null")
"""What an absent field of any JSON is read as. (In ``Raw | None`` msgspec takes nothing but null.)"""


def _nothing() -> Raw:
    return NOTHING


def given(value: Raw) -> Raw | None:
    """``value``, None where the field was absent or null."""
    return None if value is NOTHING or bytes(value) == b"null" else value


class JourneyStart(Struct, forbid_unknown_fields=False):
    """``journey:start``: the same ``client_journey_id`` again resumes."""

    client_journey_id: str
    started_at: int
    vehicle: str | None = None
    destination: Raw = field(default_factory=_nothing)
    route: Raw = field(default_factory=_nothing)


class Positions(Struct):
    """``positions``: points in seq order, contiguous with ``skip`` and with what is stored."""

    journey_id: str
    points: list[Point] = []
    skip: tuple[int, int, str] | None = None
    latest: Raw = field(default_factory=_nothing)


class JourneyEnd(Struct):
    """``journey:end``: the backlog up to ``last_seq`` is still taken afterwards."""

    journey_id: str
    ended_at: int
    last_seq: int


class AreaRequest(Struct, forbid_unknown_fields=True):
    """What a map shows: ``bbox`` is its south-west and its north-east corner, each latitude and longitude;
    ``zoom`` that of a web map, 0 the world. ``vendors`` narrows it to some of those the viewer may see.
    """

    bbox: tuple[tuple[float, float], tuple[float, float]]
    zoom: float
    vendors: list[str] | None = None


class FeedRequest(Struct, forbid_unknown_fields=True):
    """What a viewer asks for: exactly one of ``vendor``, ``driver``, ``journey``, ``area``, ``alert``."""

    vendor: str | None = None
    driver: str | None = None
    journey: str | None = None
    area: AreaRequest | None = None
    alert: str | None = None
    since_seq: int | None = None


class Watch(Struct):
    """``watch``."""

    feed: FeedRequest


class Unwatch(Struct):
    """``unwatch``: ``feed`` is the name the watch answer gave."""

    feed: str


def journey_uuid(text: str) -> UUID:
    """``text`` as a UUID. Raises Refused(invalid)."""
    return UUID(uuid_text(text, "journey_id"))


def alert_uuid(text: str) -> UUID:
    """``text`` as a UUID. Raises Refused(invalid)."""
    return UUID(uuid_text(text, "alert_id"))
