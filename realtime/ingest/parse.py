"""From a ``positions`` payload to points that can be stored; what is unusable becomes a void. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from geo.position import (
    SECONDS_FROM,
    SECONDS_TO,
    SEQ_MAX,
    Point,
    Reported,
    VoidReason,
    cleaned,
    has_fix,
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
    finite,
    given,
    shown,
    time_in_text,
    unwrapped,
    uuid_text,
)


class _ReportedPositions(msgspec.Struct):
    journey_id: str
    points: list[Reported] = []
    skip: tuple[int, int, str] | None = None
    latest: Raw = NOTHING


class _LoosePositions(msgspec.Struct):
    journey_id: Any = None
    points: Raw = NOTHING
    point: Raw = NOTHING
    skip: Any = None
    latest: Raw = NOTHING


_STRICT: Final = msgspec.json.Decoder(Positions)
_REPORTED: Final = msgspec.json.Decoder(_ReportedPositions)
_LOOSE: Final = msgspec.json.Decoder(_LoosePositions)
_POINT: Final = msgspec.json.Decoder(Reported)
_RAWS: Final = msgspec.json.Decoder(list[Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FIELDS: Final = frozenset(_LoosePositions.__struct_fields__)
_NAMES: Final = tuple((name, "t") if name == "t_ms" else (name,) for name in Reported.__struct_fields__)
_TIME_FAULTS: Final = frozenset({VoidReason.BAD_TIME, VoidReason.TIME_IN_SECONDS})


class Batch(NamedTuple):
    """A payload taken apart. ``points`` are contiguous in seq, voids included; maybe none.

    ``voids`` maps each void's seq to its reason, ``voided`` lists those that the server refused.
    ``newest`` is the position that moves the live dot, the one of the highest seq; None when no usable one
    came. ``bad_time``: it is a single point whose time cannot be read.
    """

    journey_id: str
    points: list[Point]
    voids: dict[int, str]
    voided: list[tuple[int, str]]
    newest: Point | None
    latest_refused: str | None
    bad_time: bool = False


def parse(payload: bytes | Raw) -> Batch:
    """Take ``payload`` apart.

    Raises Refused: malformed (no JSON object), invalid, too_many_points; time_in_seconds or bad_time when
    that is what is wrong with every point.

    There are four cases: every point is a good position and they follow one another, which costs next to
    nothing; all types are right, and the values are judged one by one; something has a wrong type; what is no
    JSON for its NaN alone, or is wrapped, is read once more without.
    """
    try:
        strict = _STRICT.decode(payload)
    except msgspec.ValidationError:
        inner = unwrapped(payload, _FIELDS)
        if inner is not None and unwrapped(inner, _FIELDS) is None:
            return parse(inner)
        return _judged(*_decoded(payload))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        repaired = finite(bytes(payload))
        batch = None if repaired == bytes(payload) else parse(repaired)
        if batch is None or 0 < len(batch.points) == len(batch.voids):  # it was what no point can be without
            raise _malformed() from error
        return batch
    points = strict.points
    if strict.skip is None and strict.latest is NOTHING:
        if not points:  # it may be called by another name
            return _judged(*_decoded_loosely(payload))
        newest = _newest_if_all_good(points) if len(points) <= MAX_POINTS else None
        if newest is not None:
            return Batch(uuid_text(strict.journey_id, "journey_id"), points, {}, [], newest, None)
    return _judged(strict.journey_id, points, strict.skip, strict.latest)


def _newest_if_all_good(points: list[Point]) -> Point | None:
    """The last of ``points`` if each is a position and follows the one before; None otherwise."""
    seq = points[0].seq
    if not 1 <= seq <= SEQ_MAX - MAX_POINTS:
        return None
    for point in points:
        if point.seq != seq or not has_fix(point):
            return None
        seq += 1
        t_ms = point.t_ms
        assert t_ms is not None
        if t_ms < SECONDS_TO and t_ms >= SECONDS_FROM:
            return None
    return points[-1]


def _judged(journey: object, points: Sequence["Point | Reported | _Bad"], skip: Any, latest: Raw) -> Batch:
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
    bad_time = _check_times(points, [reason for _, reason in voided])
    kept = _with_skip(kept, skip, voids)
    _check_sequence(kept)
    dot, latest_refused = _latest(latest)
    if dot is not None:
        usable.append(dot)
    newest = max(usable, key=lambda p: p.seq, default=None)
    return Batch(journey_id, kept, voids, voided, newest, latest_refused, bad_time)


def _check_times(points: Sequence["Point | Reported | _Bad"], reasons: Sequence[str]) -> bool:
    """Refuse points that have a place and no usable time, where no point of the message can be used.

    An app that sends such points sends them all day. One odd point among good ones is a void. So is a single
    one; True for that, unless it is in seconds, as no accident is. What has no place is a phone without a
    fix. ``reasons``: of the points that cannot be used. Raises Refused: time_in_seconds, bad_time.
    """
    if len(reasons) < len(points):
        return False
    faults = [
        reason
        for point, reason in zip(points, reasons, strict=True)
        if reason in _TIME_FAULTS
        and (isinstance(point, _Bad) or (point.lat is not None and point.lon is not None))
    ]
    if VoidReason.TIME_IN_SECONDS in faults:
        raise Refused(Code.TIME_IN_SECONDS, "times are in seconds; they have to be in milliseconds")
    if len(faults) > 1:
        raise bad_times()
    return bool(faults)


def bad_times() -> Refused:
    """The refusal of points whose times cannot be read."""
    return Refused(Code.BAD_TIME, "no point has a time in milliseconds since 1970")


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
    return _decoded_loosely(payload)


def _decoded_loosely(payload: bytes | Raw) -> tuple[Any, Sequence[Reported | _Bad], Any, Raw]:
    try:
        loose = _LOOSE.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, "payload is not an object with a list of points") from error
    raws = _listed(loose)
    if len(raws) > MAX_POINTS:
        raise Refused(Code.TOO_MANY_POINTS, f"{len(raws)} points, {MAX_POINTS} at most")
    points = [_one(raw, index) for index, raw in enumerate(raws)]
    return loose.journey_id, points, loose.skip, loose.latest


def _listed(loose: _LoosePositions) -> list[Raw]:
    """The points of ``loose``. One alone may stand in place of the list, or be called ``point``."""
    given_points = given(loose.points) or given(loose.point)
    if given_points is None:
        return []
    if bytes(given_points)[:1] == b"{":
        return [given_points]
    try:
        raws = _RAWS.decode(given_points)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, "payload is not an object with a list of points") from error
    alone = bool(raws) and bytes(raws[0])[:1] in b"-0123456789"
    return [given_points] if alone else raws


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
    if len(values) < 4 or not all(type(v) in (int, float) for v in values[2:4]):
        return _Bad(seq, VoidReason.BAD_TYPE)
    if isinstance(values[1], str):
        values[1] = time_in_text(values[1])
    if type(values[1]) not in (int, float):
        return _Bad(seq, VoidReason.BAD_TIME)
    # The position itself is fine: a strange optional value must not cost it.
    try:
        return msgspec.convert([seq, *(_number(value) for value in values[1:9])], Reported)
    except msgspec.ValidationError:
        return _Bad(seq, VoidReason.BAD_TYPE)


def _values(raw: Raw) -> list[Any]:
    """The values of a point one by one, so that one which cannot be read (1e999, say) costs itself alone. A
    point may be an object too, with the names of its values.
    """
    try:
        if bytes(raw)[:1] == b"{":
            named = _OBJECT.decode(raw)
            if not named.keys() >= {"seq", "lat", "lon"}:
                return []
            return [_value(next((named[n] for n in names if n in named), NOTHING)) for names in _NAMES]
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
        point = _one(latest, 0)
    except Refused:
        return None, VoidReason.BAD_TYPE.value
    if isinstance(point, _Bad):
        return None, point.reason.value
    if not 1 <= point.seq <= SEQ_MAX:  # by its seq it counts as the newest
        return None, VoidReason.BAD_TYPE.value
    reason = refusal(point)
    return (cleaned(point), None) if reason is None else (None, reason.value)
