"""A cry for help, read from whatever came in: only its ``sos_id`` has to be right. Pure.

Every other field that is wrong is dropped and noted: an SOS that is refused for a bad field helps nobody.
"""

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import Raw

from alerts.location import (
    ANCIENT_MS,
    FUTURE_MS,
    MAX_ACCURACY_M,
    POINT,
    POINT_ACCURACY,
    POINT_ANCIENT,
    POINT_TIME,
    accuracy_of,
    credible_ms,
    is_usable,
)
from alerts.values import Alert, Kind, Place, Press

MESSAGE_CHARS: Final = 500
MAX_JSON_BYTES: Final = 4 * 1024 * 1024
"""Beyond this only the ``sos_id`` is looked for."""

TOKEN_EXPIRED: Final = "token_expired"  # noqa: S105  a word, not a secret
"""What is noted of a press that was let in by an old token."""
WRAPPED: Final = "wrapped"
"""What is noted of a press that came inside of something else."""
MAX_DIGITS: Final = 100
MAX_T_MS: Final = 1e15
"""No clock of a phone shows a time that is further from 1970: the number is no time."""
_BOM: Final = "\ufeff"
"""Some encoders put it before what they write, and no JSON begins with it."""

_BY_PHONE: Final = frozenset({Kind.SOS, Kind.CRASH, Kind.FALL})
_UUID: Final = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_SPELLED: Final = r"(?:urn:uuid:)?\{?(" + _UUID + r")\}?"
"""A UUID as libraries write it: in any case, in braces, without hyphens, as a URN."""
_FOUND: Final = re.compile(r'"sos_id"\s{0,20}:\s{0,20}"' + _SPELLED + '"', re.IGNORECASE)
_WHOLE: Final = re.compile(_SPELLED, re.IGNORECASE)
_JOINERS: Final = frozenset("\u200c\u200d")
"""Part of words in Persian and Hindi, and of emoji."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def parse_press(
    raw: object,
    *,
    tenant: str,
    vendor: str,
    driver: str,
    received_ms: int,
    source: str,
    token_expired: bool = False,
) -> Press:
    """The press in ``raw``: JSON as bytes or text (broken and cut-off too), or what it decodes to.

    Raises ValueError when there is no ``sos_id`` in it; for nothing else.
    """
    fields, noted = _fields(raw)
    if token_expired:
        noted.append(TOKEN_EXPIRED)
    reader = _Reader(fields, noted, received_ms)
    return Press(
        tenant=tenant,
        vendor=vendor,
        driver=driver,
        sos_id=_sos_id(fields.get("sos_id")),
        kind=reader.kind(),
        received_ms=received_ms,
        pressed_ms=reader.pressed_ms(),
        source=source,
        journey_id=reader.journey_id(),
        place=reader.place(),
        message=reader.message(),
        silent=reader.silent(),
        drill=reader.drill(),
        noted=tuple(noted),
    )


def age_ms(of: Press | Alert, now_ms: int) -> int:
    """How long ago the button was pressed."""
    return max(0, now_ms - of.pressed_ms)


def cleaned(text: str, most_chars: int = MESSAGE_CHARS) -> str:
    """``text`` in one line, without what controls a terminal, a header or the direction of writing, cut."""
    out: list[str] = []
    for char in text[: most_chars * 4]:
        if char.isspace():
            out.append(" ")
        elif char in _JOINERS or unicodedata.category(char) not in _HIDDEN:
            out.append(char)
    return " ".join("".join(out).split())[:most_chars].rstrip()


class _Reader:
    """Each field as it can be used; what cannot be is noted by its name."""

    def __init__(self, fields: Mapping[str, Any], noted: list[str], received_ms: int) -> None:
        self._fields = fields
        self._noted = noted
        self._received_ms = received_ms

    def kind(self) -> Kind:
        """A kind that a phone may send; an SOS for any other."""
        value = self._fields.get("kind", Kind.SOS)
        if isinstance(value, str) and value in _BY_PHONE:
            return Kind(value)
        if value is not None:
            self._noted.append("kind")
        return Kind.SOS

    def pressed_ms(self) -> int:
        """When the phone says it was pressed; when it came in, where that cannot be."""
        value = self._fields.get("pressed_at")
        found = self._time_ms(value)
        if found is not None:
            return min(found, self._received_ms)
        if value is not None:
            self._noted.append("pressed_at")
        return self._received_ms

    def journey_id(self) -> UUID | None:
        """The journey it belongs to."""
        value = self._fields.get("journey_id")
        if value is None:
            return None
        if isinstance(value, str) and (found := _WHOLE.fullmatch(value)):
            return UUID(found[1])
        self._noted.append("journey_id")
        return None

    def place(self) -> Place | None:
        """Of a point as in the protocol: seq, t, lat, lon, speed, heading, accuracy, altitude, battery."""
        value = self._fields.get("point")
        if value is None:
            return None
        point = [*value[:9]] if isinstance(value, list | tuple) else []
        point += [None] * (9 - len(point))
        _, t_ms, lat, lon, _, _, metres, _, battery = point
        if not is_usable(lat, lon) or _is_beyond(metres, MAX_ACCURACY_M):
            self._noted.append(POINT)
            return None
        if metres is not None and _within(metres, -MAX_ACCURACY_M, MAX_ACCURACY_M) is None:
            self._noted.append(POINT_ACCURACY)
        return Place(
            lat=float(lat),
            lon=float(lon),
            accuracy_m=accuracy_of(metres),  # phones say 0 and -1 of one that they do not know
            t_ms=self._fix_ms(t_ms),
            battery_pct=_within(battery, 0, 100),
        )

    def _fix_ms(self, value: object) -> int | None:
        """When the fix was taken; None and noted where the phone says none that can be."""
        t_ms = _within(value, -MAX_T_MS, MAX_T_MS)
        found = credible_ms(None if t_ms is None else int(t_ms), self._received_ms)
        if found is None:
            is_ancient = t_ms is not None and t_ms < self._received_ms
            self._noted.append(POINT_ANCIENT if is_ancient else POINT_TIME)
        return found

    def message(self) -> str:
        """One harmless line."""
        value = self._fields.get("message")
        if value is None:
            return ""
        if not isinstance(value, str):
            self._noted.append("message")
            return ""
        if len(value) > MESSAGE_CHARS:
            self._noted.append("message_cut")
        return cleaned(value)

    def silent(self) -> bool:
        """What may mean yes is taken as yes: a phone that rings can do harm."""
        value = self._fields.get("silent")
        if value is not None and not isinstance(value, bool):
            self._noted.append("silent")
            return value in (1, "1", "true")
        return value is True

    def drill(self) -> bool:
        """Only a plain yes is one: a real alert taken for a drill can do harm."""
        value = self._fields.get("drill")
        if value is not None and not isinstance(value, bool):
            self._noted.append("drill")
        return value is True

    def _time_ms(self, value: object) -> int | None:
        found = _within(value, self._received_ms - ANCIENT_MS, self._received_ms + FUTURE_MS)
        return None if found is None else int(found)


def _fields(raw: object) -> tuple[Mapping[str, Any], list[str]]:
    if isinstance(raw, bytes | bytearray | memoryview | Raw):
        raw = bytes(raw).decode("utf-8", errors="replace").removeprefix(_BOM)
    if not isinstance(raw, str):
        return (raw, []) if isinstance(raw, Mapping) else ({}, ["malformed"])
    if len(raw) <= MAX_JSON_BYTES:
        try:
            value = json.loads(raw, parse_int=_int)
        except (ValueError, RecursionError):
            value = None
        if isinstance(press := _unwrapped(value), Mapping):
            return press, [] if press is value else [WRAPPED]
    found = _FOUND.search(raw)
    return ({} if found is None else {"sos_id": found[1]}), ["malformed"]


def _unwrapped(value: Any) -> Any:
    """The press that ``value`` is wrapped around: a text, a list, or an object of one member; else
    ``value``."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value, parse_int=_int)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, Mapping) and ("sos_id" in value or len(value) != 1):
        return value
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((each for each in inside if isinstance(each, Mapping) and "sos_id" in each), value)


def _int(digits: str) -> float:
    """A number of thousands of digits is no time and no place, and no reason to lose the fields beside it."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _sos_id(value: object) -> UUID:
    if isinstance(value, UUID):
        value = str(value)
    spelled = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    if spelled is None:
        raise ValueError("sos_id is not a uuid")
    found = UUID(spelled[1])
    if not found.int:
        raise ValueError("sos_id is the nil uuid")  # every press of such an app would be one and the same
    return found


def _is_beyond(value: object, most: float) -> bool:
    """Whether ``value`` is a number greater than ``most``; an infinite one too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > most


def _within(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if low <= value <= high else None
