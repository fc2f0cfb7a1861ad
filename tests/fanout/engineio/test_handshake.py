"""How a session begins, and how a request that cannot begin or continue one is refused."""

import json

import pytest
from aiohttp import WSServerHandshakeError

from tests.fanout.engineio.kit import Raw, masked, module_loop, serving, until, upgrade_request

pytestmark = module_loop
FIELDS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


async def test_a_poll_opens_a_session_and_announces_it_in_full() -> None:
    async with serving(ping_interval=0.3, ping_timeout=0.2, max_http_buffer_size=1_000_000) as here:
        status, text = await here.ask("GET", "EIO=4&transport=polling")
        assert status == 200
        assert text[0] == "0"
        opening = json.loads(text[1:])
        assert set(opening) == FIELDS
        assert opening["sid"] in here.sockets
        assert opening["upgrades"] == ["websocket"]
        assert (opening["pingInterval"], opening["pingTimeout"]) == (300, 200)
        assert opening["maxPayload"] == 1_000_000


async def test_a_websocket_opens_a_session_and_announces_it_in_full() -> None:
    async with serving(ping_interval=(0.3, 0.1), ping_timeout=0.2) as here:
        socket = await here.http.ws_connect(f"{here.url}?EIO=4&transport=websocket")
        opening = json.loads((await socket.receive_str())[1:])
        assert set(opening) == FIELDS
        assert opening["upgrades"] == []
        assert (opening["pingInterval"], opening["pingTimeout"]) == (400, 200)
        await socket.close()


@pytest.mark.parametrize(
    ("options", "upgrades"), [({"allow_upgrades": False}, []), ({"transports": "polling"}, [])]
)
async def test_no_upgrade_is_announced_where_none_is_taken(
    options: dict[str, object], upgrades: list[str]
) -> None:
    async with serving(**options) as here:
        _, text = await here.ask("GET", "EIO=4&transport=polling")
        opening = json.loads(text[1:])
        assert opening["upgrades"] == []
        with pytest.raises(WSServerHandshakeError) as refused:
            await here.websocket(opening["sid"])
        assert refused.value.status == 400


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("GET", "transport=polling", 5),
        ("GET", "EIO=abc&transport=polling", 5),
        ("GET", "EIO=3&transport=polling", 5),
        ("GET", "EIO=4", 0),
        ("GET", "EIO=4&transport=abc", 0),
        ("GET", "EIO=4&transport=__class__", 0),
        ("GET", "EIO=4&transport=websocket", 3),
        ("GET", "EIO=4&transport=polling&j=0", 3),
        ("POST", "EIO=4&transport=polling", 2),
        ("PUT", "EIO=4&transport=polling", 2),
        ("DELETE", "EIO=4&transport=polling", 2),
        ("GET", "EIO=4&transport=polling&sid=nobody", 1),
        ("POST", "EIO=4&transport=polling&sid=", 1),
        ("GET", "EIO=4&transport=websocket&sid=nobody", 1),
    ],
)
async def test_a_wrong_request_is_400_with_the_protocols_code(method: str, query: str, code: int) -> None:
    async with serving() as here:
        status, text = await here.ask(method, query)
        assert status == 400
        assert json.loads(text)["code"] == code
        assert not here.sockets


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_wrong_method_for_a_session_is_400_and_leaves_it(method: str) -> None:
    async with serving() as here:
        sid = await here.open()
        status, text = await here.ask(method, f"EIO=4&transport=polling&sid={sid}")
        assert (status, json.loads(text)["code"]) == (400, 2)
        assert (await here.post(sid, "4still"))[0] == 200
        assert await here.poll(sid) == (200, "4still")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Key": "&&&&"},
        {"Sec_WebSocket_Version": "12"},
        {"Upgrade": "h2c"},
    ],
)
async def test_a_websocket_with_a_wrong_opening_is_400(headers: dict[str, str]) -> None:
    async with serving() as here:
        raw = await Raw.to(here.port)
        raw.writer.write(upgrade_request(**headers))
        assert (await raw.head()).startswith("HTTP/1.1 400")
        assert not here.sockets
        raw.close()


async def test_the_accept_key_is_the_one_of_rfc_6455() -> None:
    async with serving() as here:
        raw = await Raw.to(here.port)
        raw.writer.write(upgrade_request())
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in await raw.head()
        raw.close()


@pytest.mark.both_loops
async def test_what_came_behind_the_opening_request_is_heard() -> None:
    async with serving() as here:
        raw = await Raw.to(here.port)
        raw.writer.write(upgrade_request() + masked(b"4one") + masked(b"4two"))
        await raw.head()
        await raw.frame()
        assert [await raw.frame(), await raw.frame()] == [(0x81, b"4one"), (0x81, b"4two")]
        raw.close()


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_whom_the_connect_handler_refuses_gets_401_and_no_session(transport: str) -> None:
    async with serving() as here:
        here.engine.on("connect", lambda sid, environ: "not you")
        raw = await Raw.to(here.port)
        raw.writer.write(upgrade_request(f"EIO=4&transport={transport}"))
        assert (await raw.head()).startswith("HTTP/1.1 401")
        assert not here.sockets
        assert not len(here.engine.quiet)
        raw.close()


async def test_the_connect_handler_knows_the_request() -> None:
    async with serving(remote_address=lambda request: "192.0.2.7") as here:
        seen: list[dict[str, object]] = []
        here.engine.on("connect", lambda sid, environ: seen.append(environ))
        await here.ask("GET", "EIO=4&transport=polling&x=1", headers={"X-Many": "a"})
        (environ,) = seen
        assert environ["REMOTE_ADDR"] == "192.0.2.7"
        assert environ["QUERY_STRING"] == "EIO=4&transport=polling&x=1"
        assert environ["HTTP_X_MANY"] == "a"
        assert environ["REQUEST_METHOD"] == "GET"


async def test_from_the_session_limit_on_newcomers_are_503_until_one_leaves() -> None:
    async with serving(max_sessions=2) as here:
        sid = await here.open()
        await here.open()
        for transport in ("polling", "websocket"):
            assert (await here.ask("GET", f"EIO=4&transport={transport}"))[0] == 503
        await here.post(sid, "1")
        await until(lambda: len(here.sockets) == 1, "the end of one")
        await here.open()


async def test_a_preflight_is_answered_and_a_foreign_origin_refused() -> None:
    async with serving(cors_allowed_origins=["https://ours.example"]) as here:
        ours = {"Origin": "https://ours.example", "Access-Control-Request-Headers": "content-type"}
        async with here.http.options(f"{here.url}?EIO=4&transport=polling", headers=ours) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "https://ours.example"
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        for method in ("GET", "OPTIONS"):
            status, _ = await here.ask(
                method, "EIO=4&transport=polling", headers={"Origin": "https://other.example"}
            )
            assert status == 403
        assert not here.sockets


async def test_the_cookie_option_names_the_session() -> None:
    async with (
        serving(cookie="io") as here,
        here.http.get(f"{here.url}?EIO=4&transport=polling") as response,
    ):
        (sid,) = here.sockets
        assert response.headers["Set-Cookie"].startswith(f"io={sid};")
