"""``/watch`` by the cookie of the handshake: who is let in by it, and when it ends."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings
from realtime.store.people import revocations
from tests.e2e.proxy import Proxy
from tests.safety_away.fakes import Line
from tests.sockets.kit import Raw, Server, now_ms, serving, until

NAME = "wayguard_session"


async def sign_in(server: Server, role: str = "dispatcher", **more: object) -> str:
    """A new session's cookie."""
    token = server.token(role, **more)  # type: ignore[arg-type]
    principal = await server.instance.admission.authenticate(token)
    _, value = await server.instance.sessions.begin(principal, "", "")
    return value


async def watcher(server: Server, value: str, **headers: str) -> Raw:
    return await server.raw(headers={"Cookie": f"a=1; {NAME}={value}"} | headers)


def code(answer: dict[str, object]) -> object:
    return answer.get("code")


async def ended(raw: Raw) -> object:
    """Why it was ended, by the server."""
    (error,) = await raw.event("/watch", "closing")
    await raw.packet("41/watch,")
    return error["code"]


async def test_the_cookie_of_the_handshake_lets_a_console_in(server: Server) -> None:
    value = await sign_in(server, vendors=("v1", "v2"))
    raw = await watcher(server, value, Origin=server.url)
    assert await raw.connect("/watch", session=True) == {}
    who = await raw.ask("/watch", "whoami")
    assert (who["role"], who["tenant"], who["vendors"]) == ("dispatcher", "t1", ["v1", "v2"])
    assert (await raw.ask("/watch", "watch", {"feed": {"vendor": "v1"}}))["ok"]
    assert (await raw.ask("/watch", "watch", {"feed": {"vendor": "v3"}}))["error"]["code"] == "not_found"


async def test_a_console_that_polls_is_let_in_too(server: Server) -> None:
    value = await sign_in(server)
    polling = {"Cookie": f"{NAME}={value}"}
    base = f"{server.url}/socket.io/?EIO=4&transport=polling"
    async with server.session.get(base, headers=polling) as opened:
        sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
    async with server.session.post(f"{base}&sid={sid}", data='40/watch,{"session":true}') as posted:
        assert posted.status == 200
    async with server.session.get(f"{base}&sid={sid}") as polled:
        assert (await polled.text()).startswith("40/watch,")


async def test_a_page_of_another_origin_is_not_let_in_by_cookie(server: Server) -> None:
    value = await sign_in(server)
    allowed = {"Origin": "https://app.example"}  # whose pages bring tokens of their own
    raw = await watcher(server, value, **allowed)
    assert code(await raw.connect("/watch", session=True)) == "origin_refused"
    raw = await watcher(server, value, **allowed)
    assert await raw.connect("/watch", token=server.token("dispatcher")) == {}


@pytest.mark.parametrize(
    "header",
    ["", "a=1", f"{NAME}=", f"{NAME}={'A' * 22}.{'A' * 43}", f"{NAME}={'A' * 9_000}", f"{NAME}=\x80\xff",
     f"__Host-{NAME}=VALUE", f"{NAME}=VALUE; {NAME}=VALUE", f"{NAME}=VALUE,{NAME}=VALUE", f"{NAME}=VALUEx"],
)  # fmt: skip
async def test_without_the_cookie_of_a_session_nobody_is_let_in(server: Server, header: str) -> None:
    value = await sign_in(server)
    raw = await server.raw(headers={"Cookie": header.replace("VALUE", value)})
    assert code(await raw.connect("/watch", session=True)) == "unauthenticated"


@pytest.mark.parametrize("said", [False, 1, "true", None, {}, []])
async def test_a_cookie_counts_for_who_asks_for_it_alone(server: Server, said: object) -> None:
    raw = await watcher(server, await sign_in(server))
    assert code(await raw.connect("/watch", session=said)) == "unauthenticated"


async def test_a_session_drives_nothing_and_a_token_beside_it_counts(server: Server) -> None:
    value = await sign_in(server)
    raw = await watcher(server, value)
    assert code(await raw.connect("/driver", session=True)) == "unauthenticated"
    raw = await watcher(server, value)
    assert code(await raw.connect("/watch", session=True, token="a.b.c")) == "unauthenticated"
    raw = await watcher(server, value)
    assert await raw.connect("/watch", session=True, token=server.token("admin", "t2")) == {}
    assert (await raw.ask("/watch", "whoami"))["tenant"] == "t2"


async def test_a_session_that_is_ended_ends_its_sockets_and_no_others(server: Server) -> None:
    doomed, other = await sign_in(server), await sign_in(server)
    raws = [await watcher(server, value) for value in (doomed, doomed, other)]
    for raw in raws:
        assert await raw.connect("/watch", session=True) == {}
    session = await server.instance.sessions.get(doomed.partition(".")[0])
    assert session is not None
    await server.instance.sessions.end(session)
    assert [await ended(raw) for raw in raws[:2]] == ["revoked", "revoked"]
    assert (await raws[2].ask("/watch", "whoami"))["ok"]
    again = await watcher(server, doomed)
    assert code(await again.connect("/watch", session=True)) == "unauthenticated"


async def test_signing_out_by_the_api_ends_the_sockets(server: Server) -> None:
    value = await sign_in(server)
    raw = await watcher(server, value)
    assert await raw.connect("/watch", session=True) == {}
    headers = {"Cookie": f"{NAME}={value}", "X-Wayguard": "console"}
    async with server.session.delete(f"{server.url}/api/v1/session", headers=headers) as answer:
        assert answer.status == 200
    assert await ended(raw) == "revoked"


async def test_the_revocation_of_the_token_ends_the_sockets(server: Server) -> None:
    raw = await watcher(server, await sign_in(server, jti="doomed-session"))
    assert await raw.connect("/watch", session=True) == {}
    await revocations.revoke(server.db, "t1", "doomed-session")
    assert await ended(raw) == "revoked"


async def test_a_session_that_expires_ends_its_sockets(server: Server) -> None:
    admission, sessions = server.instance.admission, server.instance.sessions
    principal = await admission.authenticate(server.token("dispatcher"))
    for lasts_ms in (1_500, 6_000, 15_000):  # a machine that is busy may not get in before the first is over
        short = replace(principal, expires_ms=now_ms() + lasts_ms)
        _, value = await sessions.begin(short, "", "")
        raw = await watcher(server, value)
        if (refusal := await raw.connect("/watch", session=True)) == {}:
            break
    assert refusal == {}
    assert await ended(raw) == "token_expired"


@pytest_asyncio.fixture(loop_scope="session")
async def line(settings: Settings, redis_server: EmbeddedRedis) -> AsyncIterator[tuple[Server, Line]]:
    """An instance of its own and its way to Redis."""
    url = settings.redis_url.get_secret_value()
    async with Proxy(urlsplit(url).port or 0) as proxy:
        way = Line(proxy, url)
        own = settings.model_copy(update={"redis_url": type(settings.redis_url)(way.url)})
        async with serving(own) as server:
            yield server, way


async def test_with_redis_away_sockets_stay_and_nobody_new_comes_by_cookie(line: tuple[Server, Line]) -> None:
    server, way = line
    value = await sign_in(server)
    raw = await watcher(server, value)
    assert await raw.connect("/watch", session=True) == {}
    session = await server.instance.sessions.get(value.partition(".")[0])
    assert session is not None
    way.cut()
    late = await watcher(server, value)
    assert code(await late.connect("/watch", session=True)) == "unavailable"
    headers = {"Cookie": f"{NAME}={value}"}
    async with server.session.get(f"{server.url}/api/v1/session", headers=headers) as answer:
        assert answer.status == 200, "requests of who was here lately go on"
    checks = 0
    looked = server.instance.admission.ended_among

    async def counted(ids: dict[str, object]) -> set[str]:
        nonlocal checks
        checks += 1
        return await looked(ids)

    server.instance.admission.ended_among = counted  # type: ignore[method-assign,assignment]
    await until(lambda: checks >= 3, "looked at while Redis is away")
    assert (await raw.ask("/watch", "whoami"))["ok"]
    way.mend()
    deadline_s = time.monotonic() + 20
    while code(await (await watcher(server, value)).connect("/watch", session=True)) is not None:
        assert time.monotonic() < deadline_s
    await server.instance.sessions.end(session)
    assert await ended(raw) == "revoked"
