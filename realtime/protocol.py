"""The wire protocol's shapes: identifiers, payloads, error codes. DESIGN of record: docs/PROTOCOL.md."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct, field

from geo.position import SECONDS_TO, Point, VoidReason, time_fault

MAX_POINTS: Final = 500
MAX_SKIP: Final = 10_000
SNAPSHOT_POINTS: Final = 5_000

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@:+-]{0,63}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_UUID_SPELLINGS: Final = re.compile(
    r"\s*(?:urn:uuid:)?(?:\{(?P<braced>[0-9a-f-]{32,36})\}|(?P<bare>[0-9a-f-]{32,36}))\s*", re.ASCII
)
_MAX_UUID_CHARS: Final = 64
_MAX_TIME_CHARS: Final = 40
_NOT_FINITE: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|(?<![\w.+-])[+-]?(?:nan|inf(?:inity)?)(?![\w.])', re.IGNORECASE | re.DOTALL
)

Answer = Callable[[dict[str, Any] | bytes], None]
"""Takes the ack of an event, once: as ready JSON, or as what becomes JSON."""


class Code(StrEnum):
    """Error codes; each is a metric label and a log word too."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  a code, not a secret
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105
    REVOKED = "revoked"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EXPECTED_SEQ = "expected_seq"
    BAD_TIME = "bad_time"
    TIME_IN_SECONDS = "time_in_seconds"
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
    Code.BAD_TIME: 400,
    Code.TIME_IN_SECONDS: 400,
    Code.UNAUTHENTICATED: 401,
    Code.TOKEN_EXPIRED: 401,
    Code.TOKEN_NOT_YET_VALID: 401,
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
        Code.TOKEN_NOT_YET_VALID,
        Code.RATE_LIMITED,
        Code.OVERLOADED,
        Code.UNAVAILABLE,
        Code.DRAINING,
        Code.STALLED,
        Code.INTERNAL,
    }
)


STORAGE_UNAVAILABLE: Final = "the storage is unavailable, try again"
"""The text of ``unavailable`` when Postgres, and what stands in for it, cannot be asked."""


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
            error["retry_after_s"] = math.ceil(self.retry_after_s * 1000) / 1000
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
    """``value`` as a lower-case hyphenated UUID. Raises Refused(invalid).

    Read are the spellings of RFC 9562 and of common libraries: any case, with ``urn:uuid:``, in braces,
    without hyphens.
    """
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value
        if (found := uuid_spelled(value)) is not None:
            return found
    raise Refused(Code.INVALID, f"{name} is not a uuid: {shown(value)}")


def uuid_spelled(text: str) -> str | None:
    """The lower-case hyphenated UUID that ``text`` spells; None when it spells none."""
    if len(text) > _MAX_UUID_CHARS or not (found := _UUID_SPELLINGS.fullmatch(text.lower())):
        return None
    bare = found["braced"] or found["bare"]
    if "-" not in bare:
        return str(UUID(hex=bare)) if len(bare) == 32 else None
    return bare if _UUID.fullmatch(bare) else None


def time_ms(value: object, name: str) -> int:
    """``value`` as whole milliseconds since the epoch, UTC.

    Read is what has one meaning: a number, with a fraction too, which is rounded; its digits in a text; a
    text of ISO 8601 that names its offset. Raises Refused: time_in_seconds, else invalid.
    """
    number = _time_number(value)
    fault = time_fault(number)
    if number is None or fault is not None:
        if fault is VoidReason.TIME_IN_SECONDS:
            raise Refused(Code.TIME_IN_SECONDS, f"{name} is in seconds; times are in milliseconds")
        raise Refused(Code.INVALID, f"{name} is not a time in milliseconds: {shown(value)}")
    return round(number)


def time_in_text(text: str) -> int | float | None:
    """The number or the time that ``text`` spells, as a number for `geo.position.time_fault`; None for
    neither.

    A small number in a text is no time: it may be a duration, or anything.
    """
    text = text.strip()
    if len(text) > _MAX_TIME_CHARS:
        return None
    try:
        number = float(text)
    except ValueError:
        return _iso_ms(text)
    if not isfinite(number) or (number < SECONDS_TO and time_fault(number) is None):
        return None
    return number


def _iso_ms(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if moment.tzinfo is None:  # it may be of any zone
        return None
    return round((moment - _EPOCH).total_seconds() * 1000)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _time_number(value: object) -> int | float | None:
    if isinstance(value, str):
        return time_in_text(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


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


def finite(json: bytes) -> bytes:
    """``json`` with null for NaN and infinity, however they are written, outside of its texts.

    JSON has no such numbers, but several languages' libraries write them.
    """
    return _NOT_FINITE.sub(lambda found: found[0] if found[0].startswith(b'"') else b"null", json)


def unwrapped(json: bytes | Raw, fields: Collection[str]) -> bytes | None:
    """The object of ``fields`` that something is wrapped around in ``json``; None when nothing is.

    There are three wrappings: 1. a text that holds the JSON; 2. a list of one; 3. an object with one member,
    whose name is not one of ``fields`` and whose value is an object.
    """
    try:
        start = bytes(json).lstrip()[:1]
        if start == b'"':
            inner = msgspec.json.decode(json, type=str).strip().encode()
            return inner if inner[:1] in (b"{", b"[") else None
        if start == b"[":
            items = msgspec.json.decode(json, type=list[Raw])
            return bytes(items[0]) if len(items) == 1 and bytes(items[0])[:1] == b"{" else None
        if start == b"{":
            members = msgspec.json.decode(json, type=dict[str, Raw])
            ((name, value),) = members.items()
            return bytes(value) if name not in fields and bytes(value)[:1] == b"{" else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return None


class JourneyStart(Struct, forbid_unknown_fields=False):
    """``journey:start``: the same ``client_journey_id`` again resumes. `time_ms` reads the time."""

    client_journey_id: str
    started_at: Any
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
    ended_at: Any
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
