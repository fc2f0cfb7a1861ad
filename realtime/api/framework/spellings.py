"""Requests as people and standard tools spell them, brought to the one spelling that the table's shapes know.

A shape says what a field is, so each rule is for one type and none for one operation:

1. a name of a query parameter may be in any case;
2. one of a list of words may be in any case, with spaces around it;
3. a UUID may be in any case, in braces, without hyphens, with ``urn:uuid:``;
4. a whole number may have a fraction of zero;
5. a time may have a fraction, be a text of digits or of ISO 8601; one in seconds is refused by that name;
6. a body may be wrapped in an object of one member, in a list of one, or in a text.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from geo.position import T_MS_MAX
from realtime.protocol import finite, time_ms, unwrapped, uuid_spelled

T = TypeVar("T", bound=msgspec.Struct)
BOM: Final = b"\xef\xbb\xbf"
"""Some encoders put it before their JSON, which may not begin with it."""


def paths(path: str) -> tuple[str, ...]:
    """``path`` of an operation as clients write it: with a slash at its end, and with two at its beginning,
    which is what becomes of a base address that ends in one. What is not of the API has one spelling: the
    balancer keeps some of it from the outside by its path.
    """
    if not path.startswith("/api/"):
        return (path,)
    path = path.replace(
        "}", ":[^/]+}"
    )  # aiohttp's own pattern of a part has no braces, which a UUID may be in
    return (path, f"{path}/", f"/{path}", f"/{path}/")


def shaped(values: Mapping[str, str], shape: type[T]) -> T:
    """The parameters of a path or a query as ``shape``. Raises msgspec.ValidationError,
    Refused(time_in_seconds or invalid) for a time.
    """
    names = {name.lower(): name for name in _kinds(shape)}
    named = {
        name if name in names.values() else names.get(name.lower(), name): v for name, v in values.items()
    }
    if len(named) < len(values):
        raise msgspec.ValidationError("a parameter is given twice")
    return msgspec.convert(_respelled(named, shape), shape, strict=False)


def decoded(raw: bytes, shape: type[T]) -> T:
    """The body ``raw`` as ``shape``. Raises msgspec.DecodeError (ValidationError among them),
    UnicodeDecodeError, RecursionError, Refused(time_in_seconds or invalid) for a time.
    """
    raw = raw.removeprefix(BOM)
    try:
        body = msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        return _second(unwrapped(raw, _kinds(shape).keys()) or raw, shape, error)
    except msgspec.DecodeError as error:
        repaired = finite(raw)
        if repaired == raw:
            raise
        return _second(repaired, shape, error)
    for name in _times(shape):
        if isinstance(value := getattr(body, name), int):
            time_ms(value, name)
    return body


def _second(raw: bytes, shape: type[T], first: msgspec.DecodeError) -> T:
    """``raw`` once more, respelled. What is wrong with it is said of how it came, so ``first`` is raised."""
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise first from None
    if not isinstance(values, dict):
        raise first
    try:
        return msgspec.convert(_respelled(values, shape), shape)
    except msgspec.ValidationError:
        raise first from None


def _respelled(values: Mapping[str, Any], shape: type[msgspec.Struct]) -> dict[str, Any]:
    kinds = _kinds(shape)
    return {name: _as(kinds[name], name, v) if name in kinds else v for name, v in values.items()}


def _as(kinds: tuple[inspect.Type, ...], name: str, value: Any) -> Any:
    for kind in kinds:
        if isinstance(kind, inspect.UUIDType) and isinstance(value, str):
            return uuid_spelled(value) or value
        if isinstance(kind, inspect.LiteralType) and isinstance(value, str):
            words = {word.lower(): word for word in kind.values if isinstance(word, str)}
            return words.get(value.strip().lower(), value)
        if isinstance(kind, inspect.IntType):
            if kind.le == T_MS_MAX:
                return None if value is None else time_ms(value, name)
            if isinstance(value, float) and value.is_integer():
                return int(value)
    return value


@lru_cache(maxsize=256)
def _kinds(shape: type[msgspec.Struct]) -> Mapping[str, tuple[inspect.Type, ...]]:
    """What each field of ``shape`` may be, by its name in JSON."""
    info = cast(inspect.StructType, inspect.type_info(shape))
    return {field.encode_name: tuple(_alternatives(field.type)) for field in info.fields}


@lru_cache(maxsize=256)
def _times(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of ``shape`` that are times, by their names in Python."""
    info = cast(inspect.StructType, inspect.type_info(shape))
    return tuple(
        field.name
        for field in info.fields
        if any(isinstance(k, inspect.IntType) and k.le == T_MS_MAX for k in _alternatives(field.type))
    )


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    elif isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    else:
        yield kind
