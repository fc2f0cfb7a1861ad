"""From a ``positions`` payload to points that can be stored; what is unusable becomes a void. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from geo.position import (
    SEQ_MAX,
    Point,
    Reported,
    VoidReason,
    cleaned,
    has_fix,
    order_ms,
    refusal,
    void,
)
from realtime.protocol import (
    MAX_POINTS,
    MAX_SKIP,
    NOTHING,
    Code,
    Positions,
    Refused,
    given,
    shown,
    uuid_text,
)


class _ReportedPositions(msgspec.Struct):
    journey_id: str
    points: list[Reported] = []
    skip: tuple[int, int, str] | None = None
    latest: Raw = NOTHING


class _LoosePositions(msgspec.Struct):
    journey_id: Any = None
    points: list[Raw] = []
    skip: Any = None
    latest: Raw = NOTHING


_STRICT: Final = msgspec.json.Decoder(Positions)
_REPORTED: Final = msgspec.json.Decoder(_ReportedPositions)
_LOOSE: Final = msgspec.json.Decoder(_LoosePositions)
_POINT: Final = msgspec.json.Decoder(Reported)
_RAWS: Final = msgspec.json.Decoder(list[Raw])
_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Batch(NamedTuple):
    """A payload taken apart. ``points`` are contiguous in seq, voids included; maybe none.

    ``voids`` maps each void's seq to its reason, ``voided`` lists those that the server refused.
    ``newest`` is the position that moves the live dot, None when no usable one came.
    """

    journey_id: str
    points: list[Point]
    voids: dict[int, str]
    voided: list[tuple[int, str]]
    newest: Point | None
    latest_refused: str | None


def parse(payload: bytes | Raw, received_ms: int) -> Batch:
    """Take ``payload`` apart.

    Raises Refused: malformed (no JSON object), invalid, too_many_points.

    There are three cases: every point is a good position and they follow one another, which costs next to
    nothing; all types are right, and the values are judged one by one; something has a wrong type.
    """
    try:
        strict = _STRICT.decode(payload)
    except msgspec.ValidationError:
        return _judged(*_decoded(payload), received_ms)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _malformed() from error
    points = strict.points
    if strict.skip is None and strict.latest is NOTHING and 0 < len(points) <= MAX_POINTS:
        newest = _newest_if_all_good(points, received_ms)
        if newest is not None:
            return Batch(uuid_text(strict.journey_id, "journey_id"), points, {}, [], newest, None)
    return _judged(strict.journey_id, points, strict.skip, strict.latest, received_ms)


def _newest_if_all_good(points: list[Point], received_ms: int) -> Point | None:
    """The newest of ``points`` if each is a position and follows the one before; None otherwise."""
    newest = points[0]
    newest_ms = -1
    seq = newest.seq
    if not 1 <= seq <= SEQ_MAX - MAX_POINTS:
        return None
    for point in points:
        if point.seq != seq or not has_fix(point):
            return None
        seq += 1
        t_ms = point.t_ms
        assert t_ms is not None
        if t_ms >= newest_ms:
            newest = point
            newest_ms = t_ms if t_ms < received_ms else received_ms
    return newest


def _judged(
    journey: object, points: Sequence["Point | Reported | _Bad"], skip: Any, latest: Raw, received_ms: int
) -> Batch:
    journey_id = uuid_text(journey, "journey_id")
    if len(points) > MAX_POINTS:
        raise Refused(Code.TOO_MANY_POINTS, f"{len(points)} points, {MAX_POINTS} at most")
    voids: dict[int, str] = {}
    voided: list[tuple[int, str]] = []
    usable: list[Point] = []
    kept: list[Point] = []
    for point in points:
        reason = point.reason if isinstance(point, _Bad) else refusal(point)
        if reason is None:
            assert not isinstance(point, _Bad)
            usable.append(good := cleaned(point))
            kept.append(good)
        else:
            kept.append(void(point.seq))
            voids[point.seq] = reason.value
            voided.append((point.seq, reason.value))
    kept = _with_skip(kept, skip, voids)
    _check_sequence(kept)
    dot, latest_refused = _latest(latest)
    if dot is not None:
        usable.append(dot)
    newest = max(usable, key=lambda p: (order_ms(p.t_ms or 0, received_ms), p.seq), default=None)
    return Batch(journey_id, kept, voids, voided, newest, latest_refused)


class _Bad(NamedTuple):
    """A point of which only the seq can be read."""

    seq: int
    reason: VoidReason


def _decoded(payload: bytes | Raw) -> tuple[Any, Sequence[Reported | _Bad], Any, Raw]:
    try:
        reported = _REPORTED.decode(payload)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _malformed() from error
    else:
        return reported.journey_id, reported.points, reported.skip, reported.latest
    try:
        loose = _LOOSE.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, "payload is not an object with a list of points") from error
    if len(loose.points) > MAX_POINTS:
        raise Refused(Code.TOO_MANY_POINTS, f"{len(loose.points)} points, {MAX_POINTS} at most")
    points = [_one(raw, index) for index, raw in enumerate(loose.points)]
    return loose.journey_id, points, loose.skip, loose.latest


def _malformed() -> Refused:
    return Refused(Code.MALFORMED, "payload is not valid json")


def _one(raw: Raw, index: int) -> Reported | _Bad:
    """One point of a payload that is not all as it should be."""
    try:
        return _POINT.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        values = _values(raw)
    seq = values[0] if values else None
    if type(seq) is not int:
        raise Refused(Code.INVALID, f"point {index} has no seq: {shown(seq)}")
    padded = [seq, *(_number(value) for value in values[1:9])]
    if len(values) >= 4 and all(type(v) in (int, float) for v in values[1:4]):
        # The position itself is fine: a strange optional value must not cost it.
        try:
            return msgspec.convert(padded, Reported)
        except msgspec.ValidationError:
            pass
    return _Bad(seq, VoidReason.BAD_TYPE)


def _values(raw: Raw) -> list[Any]:
    """The values of a point one by one, so that one which cannot be read (1e999, say) costs itself alone."""
    try:
        return [_value(part) for part in _RAWS.decode(raw)[:9]]
    except (msgspec.ValidationError, RecursionError):
        return []


def _value(raw: Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        return None


def _number(value: Any) -> Any:
    return value if type(value) in (int, float) else None


def _with_skip(points: list[Point], skip: Any, voids: dict[int, str]) -> list[Point]:
    """``points`` with a void for each seq that the app declares lost."""
    if skip is None:
        return points
    if not (isinstance(skip, list | tuple) and len(skip) == 3):
        raise Refused(Code.INVALID, "skip is not [from, to, reason]")
    first, last, reason = skip
    if type(first) is not int or type(last) is not int or not 1 <= first <= last <= SEQ_MAX:
        raise Refused(Code.INVALID, "skip is not a range of seqs")
    if last - first >= MAX_SKIP:
        raise Refused(Code.INVALID, f"skip of {last - first + 1} seqs, {MAX_SKIP} at most")
    if not isinstance(reason, str) or not _REASON.fullmatch(reason):
        raise Refused(Code.INVALID, f"skip reason is not a word: {shown(reason)}")
    skipped = range(first, last + 1)
    voids.update(dict.fromkeys(skipped, reason))
    before = [point for point in points if point.seq < first]
    return [*before, *(void(seq) for seq in skipped), *points[len(before) :]]


def _check_sequence(points: Sequence[Point]) -> None:
    if not points:
        return
    expected = points[0].seq
    if not 1 <= expected <= SEQ_MAX or points[-1].seq > SEQ_MAX:
        raise Refused(Code.INVALID, f"seq is out of range: {shown_int(expected)}")
    for point in points:
        if point.seq != expected:
            raise Refused(Code.INVALID, f"seq {shown_int(point.seq)} does not follow {expected - 1}")
        expected += 1


def shown_int(value: int) -> str:
    """``value`` short enough to stand in an error."""
    return str(value) if abs(value) < 10**15 else "a very large number"


def _latest(latest: Raw) -> tuple[Point | None, str | None]:
    if given(latest) is None:
        return None, None
    try:
        point = _POINT.decode(latest)
    except (msgspec.ValidationError, RecursionError):
        return None, VoidReason.BAD_TYPE.value
    reason = refusal(point)
    return (cleaned(point), None) if reason is None else (None, reason.value)
