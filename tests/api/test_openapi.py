"""The document is valid, complete and true: every operation is driven and its real answers are checked."""

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from realtime.api.framework import openapi
from realtime.api.table import ABOUT, API, SOS
from tests.api.drives_alerts import ALERT_IDS, alert_drives
from tests.api.drives_people import PEOPLE_IDS, people_drives
from tests.api.drives_sessions import SESSION_IDS, session_drives
from tests.api.harness import Api, Reply

DOCS = Path(__file__).parents[2] / "docs" / "API.md"
JSON = "application/json"


def check(document: dict[str, Any], path: str, method: str, reply: Reply) -> None:
    """Fails unless ``reply`` is what ``document`` says this operation answers."""
    operation = document["paths"][path][method]
    assert str(reply.status) in operation["responses"], (
        f"{method} {path} answered an undocumented {reply.status}"
    )
    content = operation["responses"][str(reply.status)]["content"]
    media = reply.headers["Content-Type"].split(";")[0]
    assert media in content, f"{method} {path} answered an undocumented {media}"
    schema = content[media]["schema"]
    if schema == {"type": "string"}:
        assert reply.body
        return
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole).validate(reply.json)


async def fetched(api: Api) -> dict[str, Any]:
    """The document as served."""
    reply = await api.get("/api/v1/openapi.json", None)
    assert reply.status == 200
    return dict(reply.json)


async def test_the_served_document_is_valid_openapi_3_1(api: Api) -> None:
    document = await fetched(api)
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "https://track.example"}]


async def test_the_document_has_every_operation_of_the_table_and_itself(api: Api) -> None:
    document = await fetched(api)
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    table = {(operation.path, operation.method) for operation in (*API, *SOS, *ABOUT)}
    assert described == table | {("/api/v1/openapi.json", "GET")}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


async def test_every_operation_answers_as_documented(api: Api) -> None:
    document = await fetched(api)
    journey = await api.journey(points=3, vehicle="AB12 CDE", destination=b'{"name":"x"}')
    api.fakes.rows["t1", "north"] = [("d1", journey, (await points_of(api, journey))[-1], 1_700_000_000_000)]
    api.fakes.presence["t1", "north"] = {
        "d1": {"state": "online", "since_ms": 1, "reason": None},
        "d2": {"state": "offline", "since_ms": 2, "reason": "left"},
    }
    driver = api.token("driver", ["north"], driver="d1")
    made = "/api/v1/journeys/{journey_id}"
    share = (await api.call("POST", f"/api/v1/journeys/{journey}/shares", json=share_body())).json["id"]
    body = {"journey_id": str(journey), "points": [[1, 1_700_000_000_000, 53.4, -2.9]]}
    driven: list[tuple[str, str, str, dict[str, Any]]] = [
        ("get", "/healthz", "/healthz", {"token": None}),
        ("get", "/readyz", "/readyz", {"token": None}),
        ("get", "/metrics", "/metrics", {"token": None}),
        ("get", "/api/v1/openapi.json", "/api/v1/openapi.json", {"token": None}),
        ("get", "/api/v1/vendors", "/api/v1/vendors", {}),
        ("get", "/api/v1/vendors/{vendor}/positions", "/api/v1/vendors/north/positions", {}),
        ("get", "/api/v1/journeys", "/api/v1/journeys?limit=1", {}),
        ("get", made, f"/api/v1/journeys/{journey}", {}),
        ("get", f"{made}/points", f"/api/v1/journeys/{journey}/points", {}),
        ("get", f"{made}/points", f"/api/v1/journeys/{journey}/points?format=geojson", {}),
        ("get", f"{made}/points", f"/api/v1/journeys/{journey}/points?format=gpx", {}),
        ("post", f"{made}/shares", f"/api/v1/journeys/{journey}/shares", {"json": share_body()}),
        ("get", f"{made}/shares", f"/api/v1/journeys/{journey}/shares", {}),
        ("delete", "/api/v1/shares/{share_id}", f"/api/v1/shares/{share}", {}),
        ("post", "/api/v1/positions", "/api/v1/positions", {"token": driver, "json": body}),
        ("post", "/api/v1/sos", "/api/v1/sos", {"token": driver, "json": {"sos_id": str(journey)}}),
        (
            "post",
            "/api/v1/revocations",
            "/api/v1/revocations",
            {"token": api.token("admin"), "json": {"jti": "a", "expires_at": 4_000_000_000_000}},
        ),
        *await people_drives(api),
        *await alert_drives(api),
        *await session_drives(api),
    ]
    for method, template, path, more in driven:
        reply = await api.call(method.upper(), path, **more)
        assert reply.status < 300, (method, path, reply.body)
        check(document, template, method, reply)
    assert {(template, method.upper()) for method, template, _, _ in driven} == {
        (path, method.upper()) for path, item in document["paths"].items() for method in item
    }, "every operation has to be driven here"


async def test_every_refusal_is_documented_too(api: Api) -> None:
    document = await fetched(api)
    ids = {"vendor": "north", "journey_id": "0199d2c8-0000-7000-8000-000000000001", "share_id": "nobody"}
    ids |= PEOPLE_IDS | ALERT_IDS | SESSION_IDS
    for path, item in document["paths"].items():
        where = re.sub(r"{(\w+)}", lambda found: ids[found[1]], path)
        for method, operation in item.items():
            if not operation["security"]:
                continue
            refusals = [
                await api.call(method.upper(), where, None),
                await api.call(method.upper(), where, api.token("driver", ["north"], driver="d9")),
                await api.call(method.upper(), where + "?nonsense=1"),
                await api.call(method.upper(), where, data=b"{"),
            ]
            for reply in refusals:
                check(document, path, method, reply)
            # An SOS reads no query: a dispatcher, whose token this is, raises none.
            unknown = 403 if path == "/api/v1/sos" else 400
            assert [reply.status for reply in refusals[::2]] == [401, unknown], (method, path)


async def points_of(api: Api, journey: Any) -> list[Any]:
    """The stored points."""
    from realtime.store.journeys import points

    return list(await points.after(api.db, "t1", journey, 0, 10))


def share_body() -> dict[str, Any]:
    """A share for an hour."""
    return {"scope": "journey", "expires_in_s": 3_600}


def test_the_page_for_people_has_every_operation_and_no_other() -> None:
    written = set(re.findall(r"^### `(GET|POST|PUT|PATCH|DELETE) (/\S+)`$", DOCS.read_text(), re.MULTILINE))
    table = {(operation.method, operation.path) for operation in (*API, *SOS, *ABOUT)}
    assert written == table | {("GET", "/api/v1/openapi.json")}


def test_every_code_an_operation_names_has_a_status() -> None:
    for operation in (*API, *SOS, *ABOUT):
        statuses = {openapi.STATUS[code] for code in openapi.refusals(operation)}
        assert all(400 <= status < 600 for status in statuses)


async def test_the_examples_on_the_page_for_people_are_what_the_document_says(api: Api) -> None:
    components = (await fetched(api))["components"]
    examples = re.findall(r"^```json (\w+)\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) >= 9
    for name, text in examples:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        Draft202012Validator(schema).validate(json.loads(text))


def test_the_statuses_on_the_page_for_people_are_the_servers() -> None:
    written = {
        code: int(status)
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", codes)
    }
    named = {code for operation in (*API, *SOS, *ABOUT) for code in openapi.refusals(operation)}
    assert {code: written.get(code.value) for code in named} == {code: openapi.STATUS[code] for code in named}
