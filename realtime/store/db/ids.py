"""UUIDv7 ids, minted here, and the bounds they give a day's partition."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID

_MS_BITS = 48
_RANDOM_BITS = 74


def uuid7(now_ms: int, rng: Random) -> UUID:
    """A version 7 UUID: ``now_ms`` in its first 48 bits, 74 bits of ``rng`` after it.

    Raises ValueError when ``now_ms`` does not fit.
    """
    noise = rng.getrandbits(_RANDOM_BITS)
    high, low = noise >> 62, noise & ((1 << 62) - 1)
    return UUID(int=_floor(now_ms).int | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def minted_ms(journey_id: UUID) -> int:
    """When a version 7 UUID was minted, in ms since the epoch."""
    return journey_id.int >> (128 - _MS_BITS)


def floor_of(ms: int) -> UUID:
    """The least UUID minted at ``ms`` or later, times outside 48 bits brought to the nearest end."""
    return _floor(min(max(ms, 0), (1 << _MS_BITS) - 1))


def day_of(ms: int) -> date:
    """The UTC day of ``ms``."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).date()


def partition_bounds(day: date) -> tuple[UUID, UUID]:
    """The ids minted on ``day`` (UTC): from the first, inclusive, to the second, exclusive."""
    return _floor(_midnight_ms(day)), _floor(_midnight_ms(day + timedelta(days=1)))


def _midnight_ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400_000


def _floor(ms: int) -> UUID:
    if not 0 <= ms < 1 << _MS_BITS:
        raise ValueError(f"time does not fit 48 bits: {ms}")
    return UUID(int=ms << (128 - _MS_BITS))
