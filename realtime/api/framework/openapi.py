"""The OpenAPI 3.1 document, made from the table of operations and the structs it names."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from realtime.api.framework.errors import STATUS
from realtime.api.framework.operation import BODY_METHODS, SAFE_METHODS, AnyOperation
from realtime.protocol import Code
from realtime.sessions.cookie import SessionCookie

VERSION: Final = "3.1.0"
_REF: Final = "#/components/schemas/{name}"

ALWAYS: Final = (Code.INVALID, Code.MALFORMED, Code.INTERNAL)
WITH_TOKEN: Final = (
    Code.UNAUTHENTICATED,
    Code.TOKEN_EXPIRED,
    Code.TOKEN_NOT_YET_VALID,
    Code.REVOKED,
    Code.FORBIDDEN,
    Code.RATE_LIMITED,
    Code.UNAVAILABLE,
)
BY_SESSION: Final = (Code.ORIGIN_REFUSED,)
"""What an operation that changes something may refuse a session with."""
WITH_BODY: Final = (Code.TOO_LARGE, Code.STALLED)


class ErrorDetail(Struct, omit_defaults=True):
    """Why not. Some codes add fields, `expected` for `expected_seq` say."""

    code: Code
    message: Annotated[str, Meta(description="one short fact for a developer")]
    retryable: Annotated[bool, Meta(description="whether the same request may succeed later")]
    retry_after_s: float | None = None


class ErrorAnswer(Struct):
    """Every answer that is not a success."""

    ok: Annotated[bool, Meta(extra_json_schema={"const": False})]
    error: ErrorDetail


class OpenApiDocument(Struct):
    """An OpenAPI 3.1 document: this one."""

    openapi: str


def document(operations: Sequence[AnyOperation], public_url: str, version: str) -> dict[str, Any]:
    """The document of ``operations``; ``public_url`` is where they are served."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _described(operation)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Wayguard",
            "version": version,
            "summary": "Real-time tracking: positions in, live maps and histories out.",
            "description": "Times are integer milliseconds since the epoch, UTC. Coordinates are WGS84 "
            "degrees, latitude before longitude, GeoJSON excepted. The live side speaks Socket.IO: "
            "docs/PROTOCOL.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url.rstrip("/") or "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {"type": "apiKey", "in": "cookie", "name": SessionCookie.at(public_url).name},
            },
        },
    }


def _described(operation: AnyOperation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": _security(operation),
        "responses": _responses(operation),
    }
    if parameters := [
        *_parameters("path", operation.path_shape, operation.path),
        *_parameters("query", operation.query_shape, operation.path),
    ]:
        described["parameters"] = parameters
    if operation.method in BODY_METHODS:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(_body(operation))}},
        }
    return described


def _security(operation: AnyOperation) -> list[dict[str, list[str]]]:
    if operation.open_to_all:
        return []
    schemes = ("token", "session") if _takes_sessions(operation) else ("token",)
    return [{scheme: []} for scheme in schemes]


def _takes_sessions(operation: AnyOperation) -> bool:
    return not (operation.open_to_all or operation.token_only or operation.as_it_comes)


def _body(operation: AnyOperation) -> type[Struct]:
    return operation.unread_body or operation.body_shape


def _responses(operation: AnyOperation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": _ref(operation.answer)}
    for media, shape in operation.media.items():
        content[media] = {"schema": {"type": "string"} if shape is None else _ref(shape)}
    responses: dict[str, Any] = {
        str(int(operation.status)): {
            "description": HTTPStatus(operation.status).phrase,
            "content": content,
        }
    }
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in refusals(operation):
        by_status[STATUS[code]].append(code.value)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": " · ".join(codes),
            "content": {"application/json": {"schema": _ref(ErrorAnswer)}},
        }
    return responses


def refusals(operation: AnyOperation) -> list[Code]:
    """Every code ``operation`` may be refused with."""
    codes = [*ALWAYS, *operation.errors]
    if operation.id == "readyz":
        codes.append(Code.UNAVAILABLE)
    if not operation.open_to_all:
        codes += WITH_TOKEN
    if _takes_sessions(operation) and operation.method not in SAFE_METHODS:
        codes += BY_SESSION
    if operation.method in BODY_METHODS and not operation.as_it_comes:
        codes += WITH_BODY
    never = {Code.RATE_LIMITED} if operation.as_it_comes else set()
    return [code for code in dict.fromkeys(codes) if code not in never]


def _parameters(place: str, shape: type[Struct], path: str) -> list[dict[str, Any]]:
    schema = _components([shape])[shape.__name__]
    required = set(schema.get("required", ()))
    found = []
    for name, given in schema.get("properties", {}).items():
        plain = _without_null(given)
        parameter = {"name": name, "in": place, "required": name in required, "schema": plain}
        if "description" in plain:
            parameter["description"] = plain.pop("description")
        found.append(parameter)
    if place == "path":
        assert {parameter["name"] for parameter in found} == set(re.findall(r"{(\w+)}", path)), path
    return found


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is left out rather than null."""
    plain = {name: value for name, value in schema.items() if name != "default" or value is not None}
    kinds = [kind for kind in plain.pop("anyOf", ()) if kind != {"type": "null"}]
    return {**plain, **kinds[0]} if kinds else plain


def _schemas(operations: Iterable[AnyOperation]) -> dict[str, Any]:
    answers: list[type[Struct]] = [ErrorAnswer]
    bodies: list[type[Struct]] = []
    for operation in operations:
        answers += [shape for shape in (operation.answer, *operation.media.values()) if shape is not None]
        if operation.method in BODY_METHODS:
            bodies.append(_body(operation))
    given = _components(answers)
    for name, schema in given.items():
        _complete(name, schema)
    taken = _components(bodies)
    # A struct that goes both ways is described as it is taken: what may be left out there may be null here.
    return {**given, **taken}


def _complete(name: str, schema: dict[str, Any]) -> None:
    """An answer has all of its fields, those with a default too, and no other; errors may have more."""
    if schema.get("type") != "object" or name in {"ErrorDetail", "OpenApiDocument"}:
        return
    always = set(schema.get("required", ()))
    schema["required"] = [
        field for field, shape in schema["properties"].items() if field in always or "default" in shape
    ]
    schema["additionalProperties"] = False


def _components(shapes: Iterable[type[Struct]]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components(list(dict.fromkeys(shapes)), ref_template=_REF)
    return components


def _ref(shape: type[Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=shape.__name__)}
