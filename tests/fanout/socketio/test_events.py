"""Events in and out: handlers of every sort, order, acks both ways, names, and what JSON may be."""

import asyncio
import json
from typing import Any

import pytest
from engineio import packet as engine_packet
from socketio import AsyncNamespace, packet
from socketio.exceptions import TimeoutError as CallTimeout

from realtime.fanout.socketio.dispatch import MAX_RUNNING
from realtime.fanout.socketio.members import MAX_CALLBACKS
from tests.fanout.socketio.kit import BOTH, plain, reference, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("namespace", ["/", "/custom"])
async def test_a_message_comes_back_with_and_without_an_ack(transport: str, namespace: str) -> None:
    prefix = "" if namespace == "/" else "/custom,"
    async with serving(reference()) as here:
        client, _ = await here.joined(transport, namespace)
        assert await client.recv() == f'2{prefix}["auth",{{}}]'
        await client.send(f'2{prefix}["message",1,"2",{{"3":[true]}}]')
        assert await client.recv() == f'2{prefix}["message-back",1,"2",{{"3":[true]}}]'
        await client.send(f'2{prefix}456["message-with-ack",1,"2",{{"3":[false]}}]')
        assert await client.recv() == f'3{prefix}456[1,"2",{{"3":[false]}}]'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "[]"),
        ("a", '["a"]'),
        ([1, 2], "[[1,2]]"),
        ((1, 2), "[1,2]"),
        ((), "[]"),
        ({"b": None}, '[{"b":null}]'),
        (False, "[false]"),
    ],
)
@pytest.mark.parametrize("ordered", [False, True])
async def test_what_a_handler_returns_is_the_ack(answer: Any, said: str, ordered: bool) -> None:
    server = plain(async_handlers=not ordered)

    @server.event
    async def ask(sid: str) -> Any:
        return answer

    server.on("plain", lambda sid: answer)
    async with serving(server) as here:
        client, _ = await here.joined()
        await client.send('20["ask"]', '2999999999999999["plain"]', '27["unknown"]', '21["plain"]')
        assert sorted(map(str, await client.texts(3))) == sorted(
            ["30" + said, "3999999999999999" + said, "31" + said]
        )


async def test_a_handler_that_fails_answers_nothing_and_harms_nobody() -> None:
    server = plain()

    @server.event
    async def bad(sid: str) -> None:
        raise ZeroDivisionError

    @server.event
    def worse(sid: str) -> None:
        raise ZeroDivisionError

    server.on("no json", lambda sid: object())
    server.on("good", lambda sid: 1)
    async with serving(server) as here:
        client, _ = await here.joined()
        await client.send('21["bad"]', '22["worse"]', '23["no json"]', '24["bad","too","many"]', '25["good"]')
        assert await client.recv() == "35[1]"


async def test_functions_classes_and_catch_alls_are_found_in_stocks_order() -> None:
    server = plain(namespaces="*")
    seen: list[Any] = []
    server.on("known", lambda sid, *args: seen.append(("known", *args)))
    server.on("*", lambda event, sid, *args: seen.append(("any", event, *args)))
    server.on("known", lambda namespace, sid, *args: seen.append((namespace, *args)), namespace="*")
    server.on("*", lambda event, namespace, sid, *args: seen.append((event, namespace, *args)), namespace="*")
    async with serving(server) as here:
        client, _ = await here.joined()
        await client.join("/x")
        await client.send(
            '2["known",1]', '2["odd",2]', '2["*",3]', '2/x,["known",4]', '2/x,["odd",5]', "2[7,6]"
        )
        while len(seen) < 6:
            await asyncio.sleep(0.001)
        assert seen == [
            ("known", 1),
            ("any", "odd", 2),
            ("any", "*", 3),
            ("/x", 4),
            ("odd", "/x", 5),
            ("any", 7, 6),
        ]


async def test_a_namespace_may_be_a_class() -> None:
    server = plain()

    class Rooms(AsyncNamespace):
        async def on_enter(self, sid: str, room: str) -> str:
            await self.enter_room(sid, room)
            await self.emit("entered", room, room=room)
            return f"in {room}"

    server.register_namespace(Rooms("/rooms"))
    async with serving(server) as here:
        client = await here.client()
        assert await client.join("/rooms")
        await client.send('2/rooms,9["enter","hall"]')
        assert await client.texts(2) == ['2/rooms,["entered","hall"]', '3/rooms,9["in hall"]']


async def test_without_async_handlers_a_clients_events_are_handled_one_after_the_other() -> None:
    server = plain(async_handlers=False)
    order: list[Any] = []

    @server.event
    async def step(sid: str, number: int) -> int:
        order.append(("begins", number))
        await asyncio.sleep(0.002 * (3 - number))
        order.append(("ends", number))
        return number

    async with serving(server) as here:
        client, _ = await here.joined()
        await client.send(*(f'2{n}["step",{n}]' for n in range(4)))
        assert await client.texts(4) == [f"3{n}[{n}]" for n in range(4)]
        assert order == [(what, n) for n in range(4) for what in ("begins", "ends")]


async def test_with_async_handlers_a_slow_one_holds_nobody_up() -> None:
    server = plain()
    release = asyncio.Event()

    @server.event
    async def slow(sid: str) -> str:
        await release.wait()
        return "slow"

    @server.event
    async def quick(sid: str) -> str:
        return "quick"

    async with serving(server) as here:
        client, _ = await here.joined()
        await client.send('21["slow"]', '22["quick"]')
        assert await client.recv() == '32["quick"]'
        release.set()
        assert await client.recv() == '31["slow"]'


@pytest.mark.both_loops
async def test_a_client_cannot_start_handlers_without_a_bound() -> None:
    server = plain()
    release, running = asyncio.Event(), 0

    @server.event
    async def hang(sid: str) -> None:
        nonlocal running
        running += 1
        await release.wait()

    async with serving(server) as here:
        client, _ = await here.joined()
        for n in range(MAX_RUNNING + 50):
            await client.send(f'2{n}["hang"]')
        while running < MAX_RUNNING:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert running <= MAX_RUNNING + 1
        release.set()
        heard = await client.texts(MAX_RUNNING + 50)
        assert len(set(heard)) == MAX_RUNNING + 50


@pytest.mark.parametrize("transport", BOTH)
async def test_call_brings_the_clients_answer(transport: str) -> None:
    server = plain()
    async with serving(server) as here:
        client, sid = await here.joined(transport)

        async def answer(text: str) -> None:
            asked = str(await client.recv())
            assert asked == f'2{asked[1]}["question",1]'
            await client.send(f"3{asked[1]}{text}")

        for text, meaning in (("[]", None), ("[7]", 7), ('[1,"b"]', (1, "b")), ('[{"a":[]}]', {"a": []})):
            asking = asyncio.ensure_future(server.call("question", 1, to=sid))
            await answer(text)
            assert await asking == meaning


@pytest.mark.both_loops
async def test_call_gives_up_in_time_and_a_late_or_wrong_answer_is_ignored() -> None:
    server = plain()
    server.on("good", lambda sid: 1)
    async with serving(server) as here:
        client, sid = await here.joined()
        with pytest.raises(CallTimeout):
            await server.call("question", to=sid, timeout=0.05)
        asked = str(await client.recv())
        assert asked == '21["question"]'
        heard: list[Any] = []
        await server.emit("other", to=sid, callback=lambda *args: heard.append(args))
        assert await client.recv() == '22["other"]'
        await client.send("399[]", "30[1]", "32[1]", "32[2]", '25["good"]')
        assert await client.recv() == "35[1]"
        assert heard == [(1,)]


async def test_callbacks_may_be_coroutines_and_may_fail() -> None:
    server = plain()
    heard: list[Any] = []

    async def callback(*args: Any) -> None:
        heard.append(args)
        raise ZeroDivisionError

    def failing(*args: Any) -> None:
        heard.append(args)
        raise ZeroDivisionError

    async with serving(server) as here:
        client, sid = await here.joined()
        await server.emit("a", to=sid, callback=callback)
        await server.emit("b", to=sid, callback=failing)
        assert await client.texts(2) == ['21["a"]', '22["b"]']
        await client.send("31[1]", "32[2]")
        while len(heard) < 2:
            await asyncio.sleep(0.001)
        assert sorted(heard) == [(1,), (2,)]


async def test_answers_that_never_come_are_bounded() -> None:
    server = plain()
    async with serving(server) as here:
        _, sid = await here.joined()
        member = server.manager.member(sid, "/")
        assert member is not None
        first = member.owe(print)
        for _ in range(MAX_CALLBACKS + 10):
            last = member.owe(print)
        assert member.answered(first) is None
        assert member.answered(last) is print


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, '["e"]'),
        ("x", '["e","x"]'),
        ((), '["e"]'),
        ((1, "b"), '["e",1,"b"]'),
        ((1, (2, 3)), '["e",1,[2,3]]'),
        ([1, 2], '["e",[1,2]]'),
        ({1: 2}, '["e",{"1":2}]'),
        (float("nan"), '["e",null]'),
        ("\u2028 é \U0001f600", '["e","\u2028 é \U0001f600"]'),
        ("\ud800", '["e","\\ud800"]'),
        (type("Sub", (str,), {})("x"), '["e","x"]'),
        (10**30, f'["e",{10**30}]'),
    ],
)
async def test_what_an_event_may_carry(data: Any, said: str) -> None:
    server = plain()
    async with serving(server) as here:
        client, sid = await here.joined()
        await server.emit("e", data, to=sid)
        assert await client.recv() == "2" + said
        await server.send("m", to=sid)
        assert await client.recv() == '2["message","m"]'


async def test_what_is_no_json_is_the_emitters_error() -> None:
    server = plain()
    async with serving(server) as here:
        _, sid = await here.joined()
        with pytest.raises(TypeError):
            await server.emit("e", object(), to=sid)


async def test_lone_surrogates_of_a_browser_are_taken() -> None:
    server = plain()
    seen: list[Any] = []
    server.on("e", lambda sid, *args: seen.append(args))
    async with serving(server) as here:
        client, _ = await here.joined()
        await client.send('20["e","\\ud800"]')
        await client.recv()
        assert seen == [("\ud800",)]


async def test_sessions_keep_what_handlers_save() -> None:
    server = plain()
    async with serving(server) as here:
        _, sid = await here.joined()
        await server.save_session(sid, {"name": "a"})
        async with server.session(sid) as session:
            session["seen"] = 1
        assert await server.get_session(sid) == {"name": "a", "seen": 1}
        assert server.get_environ(sid)["REQUEST_METHOD"] == "GET"
        assert server.transport(sid) == "websocket"
        with pytest.raises(KeyError):
            await server.get_session("nobody")


async def test_an_application_may_bring_its_own_json() -> None:
    class Loud:
        @staticmethod
        def dumps(value: Any, **_: Any) -> str:
            return json.dumps(value).upper() if isinstance(value, list) else json.dumps(value)

        @staticmethod
        def loads(text: str) -> Any:
            return json.loads(text)

    stock = packet.Packet.json, engine_packet.Packet.json
    try:
        server = plain(json=Loud)
        server.on("e", lambda sid, text: text)
        async with serving(server) as here:
            client, _ = await here.joined()
            await client.send('20["e","quiet"]')
            assert await client.recv() == '30["QUIET"]'
    finally:
        packet.Packet.json, engine_packet.Packet.json = stock
