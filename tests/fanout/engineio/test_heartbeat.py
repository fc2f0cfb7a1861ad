"""Pings below a second, their answers, and the end of who does not answer; many delays on one timer."""

import asyncio

import pytest

from realtime.fanout.engineio.timeouts import TimeoutQueue
from tests.fanout.engineio.kit import PATIENCE_S, module_loop, serving, until

pytestmark = [module_loop, pytest.mark.both_loops]


async def test_a_polling_client_that_answers_its_pings_stays() -> None:
    async with serving(ping_interval=0.05, ping_timeout=5) as here:
        sid = await here.open()
        for _ in range(4):
            assert await here.poll(sid) == (200, "2")
            assert await here.post(sid, "3") == (200, "ok")
        assert sid in here.sockets


async def test_a_websocket_client_that_answers_its_pings_stays() -> None:
    async with serving(ping_interval=0.05, ping_timeout=5) as here:
        socket = await here.websocket()
        for _ in range(4):
            assert await socket.receive_str(timeout=PATIENCE_S) == "2"
            await socket.send_str("3")
        await socket.close()


async def test_a_polling_client_that_is_silent_is_gone_and_its_session_400() -> None:
    async with serving(ping_interval=0.1, ping_timeout=0.1) as here:
        sid = await here.open()
        await until(lambda: not here.sockets, "the end")
        assert (await here.post(sid, "3"))[0] == 400
        assert (await here.poll(sid))[0] == 400
        assert here.ended == [here.engine.reason.PING_TIMEOUT]


async def test_a_poll_that_waits_ends_with_the_ping_timeout() -> None:
    async with serving(ping_interval=0.1, ping_timeout=0.1) as here:
        sid = await here.open()
        assert await here.poll(sid) == (200, "2")
        assert (await here.poll(sid))[0] in (200, 400)
        assert here.ended == [here.engine.reason.PING_TIMEOUT]
        assert (await here.poll(sid))[0] == 400


async def test_a_websocket_client_that_is_silent_is_closed() -> None:
    async with serving(ping_interval=0.1, ping_timeout=0.1) as here:
        socket = await here.websocket()
        assert await socket.receive_str(timeout=PATIENCE_S) == "2"
        async for _ in socket:
            pass
        await until(lambda: not here.sockets, "the end")
        assert here.ended == [here.engine.reason.PING_TIMEOUT]


async def test_messages_do_not_stand_for_pongs() -> None:
    async with serving(ping_interval=0.1, ping_timeout=0.2) as here:
        socket = await here.websocket()
        while here.sockets and not socket.closed:
            await socket.send_str("4I talk")
            await socket.receive(timeout=PATIENCE_S)
        await until(lambda: here.ended, "the end")
        assert here.ended == [here.engine.reason.PING_TIMEOUT]


async def test_a_ping_is_not_sent_while_one_is_unanswered() -> None:
    async with serving(ping_interval=0.02, ping_timeout=0.3) as here:
        socket = await here.websocket()
        pings = [message.data async for message in socket]
        assert pings == ["2"]


# --- the line


async def test_items_come_due_in_the_order_they_were_added_and_only_once() -> None:
    rung: list[int] = []
    line: TimeoutQueue[int] = TimeoutQueue(0.01, rung.append)
    for item in range(5):
        line.add(item)
    line.discard(2)
    line.add(0)
    await until(lambda: len(rung) == 4, "all")
    assert rung == [1, 3, 4, 0]
    assert len(line) == 0
    line.add(7)
    await until(lambda: rung[-1] == 7, "one after an idle time")


async def test_an_item_may_renew_or_drop_others_and_itself_while_it_is_rung() -> None:
    rung: list[str] = []
    line: TimeoutQueue[str]

    def due(item: str) -> None:
        rung.append(item)
        if item == "a":
            line.discard("b")
            line.add("c")
            line.add("a2")

    line = TimeoutQueue(0.01, due)
    for item in ("a", "b", "c"):
        line.add(item)
    await until(lambda: "a2" in rung, "the last")
    assert rung == ["a", "c", "a2"]
    assert len(line) == 0


async def test_an_error_of_one_item_holds_up_no_other() -> None:
    rung: list[int] = []

    def due(item: int) -> None:
        rung.append(item)
        if item == 1:
            raise ValueError(item)

    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))
    try:
        line: TimeoutQueue[int] = TimeoutQueue(0.01, due)
        for item in range(4):
            line.add(item)
        await until(lambda: len(rung) == 4, "all")
    finally:
        loop.set_exception_handler(None)
    assert rung == [0, 1, 2, 3]
    assert [type(error) for error in errors] == [ValueError]


@pytest.mark.parametrize("many", [1, 1_000])
async def test_a_line_without_items_holds_no_timer(many: int) -> None:
    line: TimeoutQueue[int] = TimeoutQueue(1_000, print)
    for item in range(many):
        line.add(item)
    assert line._timer is not None
    for item in range(many):
        line.discard(item)
    assert line._timer is None
