"""Clients that follow the documents of the protocols but not our spelling: they are served like all
others."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sockets.kit import Server, good, now_ms

Headers = dict[str, str]


async def asked(
    server: Server,
    method: str,
    path: str,
    *,
    token: str | None = None,
    headers: Headers | None = None,
    **more: Any,
) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    given = {"Authorization": f"Bearer {token or server.token('admin')}"} | (headers or {})
    async with server.session.request(method, f"{server.url}{path}", headers=given, **more) as response:
        return response.status, json.loads(await response.read() or b"null")


async def driven(server: Server, name: str, points: int = 1) -> tuple[str, str]:
    """A driver's token and journey."""
    driver = await server.driver(name)
    return server.token("driver", driver=name), await server.journey(driver, points)


# --- paths


@pytest.mark.parametrize("path", ["/api/v1/vendors/", "//api/v1/vendors", "//api/v1/vendors/"])
async def test_a_path_of_the_api_may_have_a_slash_more(server: Server, path: str) -> None:
    await server.driver("slash")
    status, answer = await asked(server, "GET", path)
    assert (status, answer["ok"]) == (200, True)


@pytest.mark.parametrize(
    "path", ["/api/v1/sos/", "//api/v1/sos", "/api/v1/positions/", "//api/v1/positions/"]
)
async def test_points_and_an_sos_may_have_a_slash_more(server: Server, path: str) -> None:
    token, journey = await driven(server, "slashes")
    body = (
        {"sos_id": str(uuid4()), "drill": True}
        if "sos" in path
        else {"journey_id": journey, "points": [good(2)]}
    )
    status, answer = await asked(server, "POST", path, token=token, json=body)
    assert (status, answer["ok"]) == (200, True)


@pytest.mark.parametrize(
    "path", ["//metrics", "/metrics/", "//healthz", "/api//v1/vendors", "/API/v1/vendors"]
)
async def test_no_other_path_has_a_second_spelling(server: Server, path: str) -> None:
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    async with server.session.get(f"{server.url}{path}", headers=headers, allow_redirects=False) as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/socket.io", "/socket.io/"])
@pytest.mark.parametrize("transport", ["polling", "Polling", "POLLING"])
async def test_a_handshake_needs_no_slash_and_no_case(server: Server, path: str, transport: str) -> None:
    async with server.session.get(f"{server.url}{path}?EIO=4&transport={transport}") as response:
        assert response.status == 200
        assert (await response.text()).startswith('0{"sid"')


@pytest.mark.parametrize("query", ["EIO=4&transport=websocket", "transport=WebSocket&EIO=4"])
async def test_a_websocket_needs_no_slash_and_no_case(server: Server, query: str) -> None:
    async with server.session.ws_connect(f"{server.url}/socket.io?{query}") as socket:
        assert (await asyncio.wait_for(socket.receive_str(), 10)).startswith('0{"sid"')


# --- who it is


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  ", "Bearer\t", "bEaReR \t "])
async def test_the_scheme_of_a_token_may_be_in_any_case_and_have_any_spaces(
    server: Server, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme}{server.token('admin')}"}
    assert (await asked(server, "GET", "/api/v1/vendors", headers=headers))[0] == 200


@pytest.mark.parametrize("scheme", ["bearer {}", "Bearer {}", " {}", "{}\n"])
async def test_a_token_of_a_socket_may_bring_its_scheme_or_a_line_end(server: Server, scheme: str) -> None:
    raw = await server.raw()
    assert await raw.connect("/driver", token=scheme.format(server.token("driver", driver="scheme"))) == {}


# --- ids


def spelled(journey: str) -> list[str]:
    return [
        journey.upper(),
        f"{{{journey}}}",
        journey.replace("-", ""),
        f"urn:uuid:{journey}",
        f"URN:UUID:{journey}",
    ]


async def test_an_id_of_a_path_may_be_spelled_as_libraries_do(server: Server) -> None:
    _, journey = await driven(server, "ids")
    for spelling in spelled(journey):
        status, answer = await asked(server, "GET", f"/api/v1/journeys/{spelling}")
        assert status == 200, (spelling, answer)
        assert answer["journey"]["journey_id"] == journey


async def test_an_id_of_an_event_may_be_spelled_as_libraries_do(server: Server) -> None:
    driver = await server.driver("ids-socket")
    journey = await server.journey(driver)
    for seq, spelling in enumerate(spelled(journey), 1):
        sent = {"journey_id": spelling, "points": [good(seq)]}
        assert (await driver.ask("/driver", "positions", sent))["through"] == seq, spelling
        viewer = await server.viewer()
        watched = await viewer.ask("/watch", "watch", {"feed": {"journey": spelling}})
        assert watched["feed"] == f"journey:{journey}"
    client_id = str(uuid4())
    starts = [
        await driver.ask("/driver", "journey:start", {"client_journey_id": s, "started_at": now_ms()})
        for s in spelled(client_id)
    ]
    assert len({start["journey_id"] for start in starts}) == 1


# --- queries and headers


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("format=GPX", "application/gpx+xml"),
        ("Format=GeoJSON", "application/geo+json"),
        ("FORMAT=%20gpx", "application/gpx+xml"),
        ("format=Json&Limit=10&SINCE_SEQ=0", "application/json"),
    ],
)
async def test_a_query_may_be_in_any_case(server: Server, query: str, kind: str) -> None:
    _, journey = await driven(server, "query")
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    async with server.session.get(
        f"{server.url}/api/v1/journeys/{journey}/points?{query}", headers=headers
    ) as got:
        assert (got.status, got.content_type) == (200, kind)


@pytest.mark.parametrize("query", ["Vendor=v1&vendor=v2", "limit=1&LIMIT=2"])
async def test_a_parameter_given_twice_in_two_cases_is_refused(server: Server, query: str) -> None:
    status, answer = await asked(server, "GET", f"/api/v1/journeys?{query}")
    assert (status, answer["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("value", "code"),
    [("1790000000000.0", None), ("1790000000000.6", None), ("2026-09-21T14:13:20Z", None),
     ("1790000000", "time_in_seconds"), ("yesterday", "invalid"), ("-1", "invalid")],
)  # fmt: skip
async def test_a_time_of_a_query_is_converted_or_refused(
    server: Server, value: str, code: str | None
) -> None:
    status, answer = await asked(server, "GET", f"/api/v1/journeys?from={value}")
    assert answer.get("error", {}).get("code") == code
    assert status == (200 if code is None else 400)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; Charset=UTF-8", "text/plain", "application/x-www-form-urlencoded",
     "application/vnd.api+json", ""],
)  # fmt: skip
async def test_a_body_is_json_whatever_its_type_is_called(server: Server, content_type: str) -> None:
    token, journey = await driven(server, "types", points=0)
    body = json.dumps({"journey_id": journey, "points": [good(1)]}).encode()
    status, answer = await asked(
        server, "POST", "/api/v1/positions", token=token, data=body, headers={"Content-Type": content_type},
        skip_auto_headers=["Content-Type"],
    )  # fmt: skip
    assert (status, answer.get("through")) == (200, 1)


# --- bodies


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: {"share": body},
        lambda body: {"data": body},
        lambda body: [body],
        lambda body: json.dumps(body),
        lambda body: body | {"scope": "Journey"},
        lambda body: body | {"scope": "LIVE "},
        lambda body: body | {"expires_in_s": 600.0},
    ],
)
async def test_a_body_may_be_wrapped_and_its_words_in_any_case(server: Server, wrap: Any) -> None:
    _, journey = await driven(server, "wrapped")
    body = wrap({"scope": "live", "expires_in_s": 600})
    status, answer = await asked(server, "POST", f"/api/v1/journeys/{journey}/shares", json=body)
    assert answer["ok"], answer
    assert status in (200, 201)


@pytest.mark.parametrize("wrap", [b"\xef\xbb\xbf%b", b" \r\n%b\n"])
async def test_a_body_may_begin_with_a_mark_or_spaces(server: Server, wrap: bytes) -> None:
    token, journey = await driven(server, "mark", points=0)
    points = json.dumps({"journey_id": journey, "points": [good(1)]}).encode()
    assert (await asked(server, "POST", "/api/v1/positions", token=token, data=wrap % points))[0] == 200
    share = json.dumps({"scope": "live", "expires_in_s": 60}).encode()
    status, _ = await asked(server, "POST", f"/api/v1/journeys/{journey}/shares", data=wrap % share)
    assert status in (200, 201)


@pytest.mark.parametrize(
    "body", [{}, {"a": {"b": {}}}, [{}, {}], "x", [[{}]], {"scope": {"scope": "live"}}, 5]
)
async def test_what_is_wrong_in_any_wrapping_is_refused(server: Server, body: Any) -> None:
    _, journey = await driven(server, "wrong")
    status, answer = await asked(server, "POST", f"/api/v1/journeys/{journey}/shares", json=body)
    assert (status, answer["error"]["code"]) == (400, "invalid")


async def test_an_event_may_be_wrapped(server: Server) -> None:
    driver = await server.driver("events")
    start = {"client_journey_id": str(uuid4()), "started_at": now_ms()}
    for wrapped in (start, json.dumps(start), [start], {"data": start}):
        assert (await driver.ask("/driver", "journey:start", wrapped))["ok"], wrapped
    journey = (await driver.ask("/driver", "journey:start", start))["journey_id"]
    sent = {"journey_id": journey, "points": [good(1)]}
    for wrapped in (sent, json.dumps(sent), [sent], {"positions": sent}):
        assert (await driver.ask("/driver", "positions", wrapped))["through"] == 1, wrapped


# --- an SOS


@pytest.mark.parametrize(
    "wrap",
    [
        lambda press: press,
        lambda press: {"sos": press},
        lambda press: [press],
        lambda press: ["sos", press],
        lambda press: json.dumps(press),
        lambda press: press | {"sos_id": "{" + press["sos_id"].upper() + "}"},
        lambda press: press | {"sos_id": "urn:uuid:" + press["sos_id"]},
        lambda press: press | {"sos_id": press["sos_id"].replace("-", "")},
    ],
)
async def test_an_sos_may_be_wrapped_and_its_id_spelled_as_libraries_do(server: Server, wrap: Any) -> None:
    name = f"sos-{uuid4()}"
    token, sos_id = server.token("driver", driver=name), str(uuid4())
    press = wrap({"sos_id": sos_id, "drill": True, "message": "help", "point": good(0)})
    status, first = await asked(server, "POST", "/api/v1/sos", token=token, json=press)
    assert status == 200, first
    driver = await server.driver(name)
    again = await driver.ask("/driver", "sos", {"sos_id": sos_id, "drill": True})
    assert again["alert_id"] == first["alert_id"], "it is the same press"
    async with server.db.writer() as connection:
        stored = json.loads(
            await connection.fetchval("SELECT alert FROM alerts WHERE alert_id = $1", UUID(first["alert_id"]))
        )
    assert (stored["message"], stored["drill"]) == ("help", True)
    assert stored["place"]["lat"] == pytest.approx(53.4)
