"""`POST /api/v1/sos` takes almost anything, from a driver alone, and says how durably."""

import asyncio
import gzip
import json
import time
import zlib
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from alerts.alert import Kind
from alerts.press import MESSAGE_CHARS
from realtime.api.alerts.sos import SosLimits
from realtime.metrics import instruments
from realtime.protocol import Code
from tests.api.harness import Api, Bounds, refused

SOS_ID = "5b0c6a52-6f7e-4c1a-9a43-0f1d1a2b3c4d"


def driver(api: Api, **more: object) -> str:
    return api.token("driver", ["north"], driver="d1", **more)


async def test_a_press_is_kept_and_answered_with_its_durability(api: Api) -> None:
    before = instruments.SOS_TAKEN.labels("http", "committed").value
    body = {
        "sos_id": SOS_ID,
        "kind": "crash",
        "message": "help",
        "point": [1, None, 53.4, -2.9],
        "silent": True,
    }
    reply = await api.call("POST", "/api/v1/sos", driver(api), json=body)
    assert reply.status == 200
    (press,) = api.fakes.pressed
    assert reply.json == {
        "ok": True,
        "alert_id": reply.json["alert_id"],
        "state": "active",
        "durability": "committed",
    }
    assert (press.tenant, press.vendor, press.driver, press.source) == ("t1", "north", "d1", "http")
    assert (press.sos_id, press.kind, press.message, press.silent) == (UUID(SOS_ID), Kind.CRASH, "help", True)
    assert press.place is not None
    assert press.place.lat == 53.4
    assert press.noted == ("point_time",)
    assert instruments.SOS_TAKEN.labels("http", "committed").value == before + 1


@pytest.mark.parametrize(
    ("body", "noted"),
    [
        (json.dumps({"sos_id": SOS_ID, "kind": 7, "point": "here", "pressed_at": -5, "journey_id": []}), 4),
        (f'{{"sos_id": "{SOS_ID}", "x": NaN}}', 0),
        (f'{{"sos_id": "{SOS_ID}", "message": "cut off', 1),
        (f'\udcff"sos_id":"{SOS_ID}"'.encode("utf-8", "surrogateescape"), 1),
        (f'[{{"sos_id": "{SOS_ID}"}}]', 1),
    ],
)
async def test_whatever_else_is_wrong_is_dropped_and_noted(api: Api, body: str | bytes, noted: int) -> None:
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body)
    assert reply.status == 200, reply.body
    (press,) = api.fakes.pressed
    assert press.sos_id == UUID(SOS_ID)
    assert len(press.noted) == noted, press.noted


@pytest.mark.parametrize("first", [True, False])
async def test_a_megabyte_of_message_is_dropped_and_the_sos_taken(api: Api, first: bool) -> None:
    fields = {"sos_id": SOS_ID, "message": "x" * 1_000_000}
    body = json.dumps(fields if first else dict(reversed(fields.items())))
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body)
    assert reply.status == 200
    assert len(api.fakes.pressed[0].message) <= MESSAGE_CHARS


@pytest.mark.parametrize(
    "bounds", [Bounds(sos=SosLimits(read_bytes=100_000, discard_bytes=3_000_000))], ids=["small"]
)
async def test_beyond_what_is_read_a_body_is_cut_and_what_came_counts(api: Api) -> None:
    body = json.dumps({"sos_id": SOS_ID, "message": "x" * 2_000_000})
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body)
    assert reply.status == 200
    assert api.fakes.pressed[0].noted == ("malformed",)


async def test_a_compressed_body_is_unpacked_and_a_bomb_does_no_harm(api: Api) -> None:
    packed = {"headers": {"Content-Encoding": "gzip", "Content-Type": "application/json"}}
    body = gzip.compress(json.dumps({"sos_id": SOS_ID, "message": "y" * 40_000_000}).encode())
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body, **packed)
    assert reply.status == 200
    broken = gzip.compress(json.dumps({"sos_id": SOS_ID}).encode())[:-6] + b"broken"
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=broken, **packed)
    assert reply.json["ok"] in (True, False), "answered, coded, whatever came of it"
    assert len(api.fakes.pressed) >= 1


@pytest.mark.parametrize("bounds", [Bounds(sos=SosLimits(body_timeout_s=0.3))], ids=["impatient"])
async def test_a_body_that_never_ends_is_taken_for_what_came(api: Api) -> None:
    address = urlsplit(api.url)
    body = json.dumps({"sos_id": SOS_ID}).encode()
    head = (
        f"POST /api/v1/sos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {driver(api)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) + 50}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head.encode() + body)
    status = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    assert status.split()[1] == b"200"
    assert api.fakes.pressed[0].sos_id == UUID(SOS_ID)


@pytest.mark.parametrize(
    "body", ["{}", "", '{"sos_id": 7}', '{"sos_id": "x"}', f'{{"sos_id": "{UUID(int=0)}"}}', "[]", "null"]
)
async def test_without_a_sos_id_there_is_nothing_to_keep(api: Api, body: str) -> None:
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body)
    assert (reply.status, reply.code) == (400, "invalid")
    assert api.fakes.pressed == []


async def test_only_a_driver_raises_one_and_nobody_without_a_token(api: Api) -> None:
    body = {"sos_id": SOS_ID}
    for role in ("dispatcher", "admin", "service"):
        reply = await api.call("POST", "/api/v1/sos", api.token(role), json=body)
        assert (reply.status, reply.code) == (403, "forbidden")
    assert (await api.call("POST", "/api/v1/sos", None, json=body)).code == "unauthenticated"
    assert (await api.call("POST", "/api/v1/sos", "forged", json=body)).code == "unauthenticated"
    assert api.fakes.pressed == []


async def test_a_thousand_presses_meet_no_rate_limit(api: Api) -> None:
    api.fakes.failures["check"] = refused(Code.RATE_LIMITED, retry_after_s=1)
    token = driver(api)
    for _ in range(100):
        assert (await api.call("POST", "/api/v1/sos", token, json={"sos_id": SOS_ID})).status == 200
    assert api.fakes.limited == []


async def test_an_sos_that_nobody_can_keep_is_refused_with_a_code(api: Api) -> None:
    api.fakes.failures["press"] = refused(Code.UNAVAILABLE, retry_after_s=1)
    reply = await api.call("POST", "/api/v1/sos", driver(api), json={"sos_id": str(uuid4())})
    assert (reply.status, reply.code) == (503, "unavailable")
    assert reply.json["error"]["retryable"] is True


async def test_an_old_token_is_noted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lenient(token: object) -> object:
        principal = await type(api.fakes).authenticate_sos(api.fakes, token)
        return type(principal)(**{**_fields(principal), "expires_ms": int(time.time() * 1000) - 1})

    monkeypatch.setattr(api.fakes, "authenticate_sos", lenient)
    assert (await api.call("POST", "/api/v1/sos", driver(api), json={"sos_id": SOS_ID})).status == 200
    assert api.fakes.pressed[0].noted == ("token_expired",)


def _fields(principal: object) -> dict[str, object]:
    return {name: getattr(principal, name) for name in principal.__slots__}  # type: ignore[attr-defined]


PRESS = json.dumps({"sos_id": SOS_ID, "message": "help"}).encode()
DEFLATED = zlib.compress(PRESS)
BARE = zlib.compressobj(wbits=-15)
CONTRADICTORY = {
    "gzip that is none": (PRESS, "gzip"),
    "deflate that is none": (PRESS, "deflate"),
    "brotli that is none": (PRESS, "br"),
    "zstd that is none": (PRESS, "zstd"),
    "an encoding that does not exist": (PRESS, "rot13"),
    "gzip that is not said": (gzip.compress(PRESS), ""),
    "gzip that is said to be identity": (gzip.compress(PRESS), "identity"),
    "gzip that is said to be deflate": (gzip.compress(PRESS), "deflate"),
    "gzip that is said to be brotli": (gzip.compress(PRESS), "br"),
    "gzip by its old name": (gzip.compress(PRESS), "x-gzip"),
    "gzip, shouted": (gzip.compress(PRESS), "GZIP"),
    "spaces before it": (b"  \n" + PRESS, "gzip"),
    "a byte order mark": (b"\xef\xbb\xbf" + PRESS, "gzip"),
    "deflate as it should be": (DEFLATED, "deflate"),
    "deflate without its header": (BARE.compress(PRESS) + BARE.flush(), "deflate"),
    "gzip whose end was cut": (gzip.compress(PRESS)[:-8], "gzip"),
    "gzip whose end was cut, not said": (gzip.compress(PRESS)[:-8], ""),
    "gzip of which two are joined": (gzip.compress(PRESS) + gzip.compress(b" "), "gzip"),
}


@pytest.mark.parametrize("case", CONTRADICTORY)
async def test_an_sos_whose_encoding_is_not_what_its_header_says_is_taken(api: Api, case: str) -> None:
    body, encoding = CONTRADICTORY[case]
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body, headers=headers)
    assert reply.status == 200, reply.json
    assert [press.message for press in api.fakes.pressed] == ["help"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", ""])
@pytest.mark.parametrize(
    "body", [b"", b"no gzip!", b"\x1f\x8b", b"\x1f\x8bxxxxxxxx", b"\xff" * 40, bytes(40)]
)
async def test_an_sos_that_can_be_read_neither_way_is_400(api: Api, body: bytes, encoding: str) -> None:
    headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
    reply = await api.call("POST", "/api/v1/sos", driver(api), data=body, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (400, "invalid")
    assert api.fakes.pressed == []
