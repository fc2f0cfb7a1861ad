"""From polling to websocket: in order, nothing lost, nothing twice; and when it does not come to it."""

import asyncio
import contextlib

import pytest
from aiohttp import WSMsgType

from realtime.fanout.engineio.frames import Frame
from tests.fanout.engineio.kit import PATIENCE_S, module_loop, serving, until

pytestmark = [module_loop, pytest.mark.both_loops]


async def test_the_probe_ends_the_pending_poll_and_the_upgrade_moves_the_session() -> None:
    async with serving() as here:
        sid = await here.open()
        pending = await here.polled(sid)
        probe = await here.websocket(sid)
        await probe.send_str("2probe")
        assert await probe.receive_str(timeout=PATIENCE_S) == "3probe"
        assert await pending == (200, "6")
        await probe.send_str("5")
        await probe.send_str("4hello")
        assert await probe.receive_str(timeout=PATIENCE_S) == "4hello"
        assert here.sockets[sid].wire is not None
        await probe.close()


async def test_a_poll_that_comes_during_the_probe_ends_soon_by_itself() -> None:
    async with serving() as here:
        sid = await here.open()
        probe = await here.websocket(sid)
        await probe.send_str("2probe")
        assert await probe.receive_str(timeout=PATIENCE_S) == "3probe"
        assert await here.poll(sid) == (200, "6")
        here.sockets[sid].write(Frame(b"4meanwhile"))
        assert await here.poll(sid) == (200, "4meanwhile")
        assert await here.post(sid, "4posted") == (200, "ok")
        await probe.send_str("5")
        assert await probe.receive_str(timeout=PATIENCE_S) == "4posted"
        await probe.close()


async def test_probe_and_upgrade_in_one_breath_and_no_noop_on_the_websocket() -> None:
    async with serving() as here:
        sid = await here.open()
        probe = await here.websocket(sid)
        for word in ("2probe", "5", "4a", "4b"):
            await probe.send_str(word)
        said = [await probe.receive_str(timeout=PATIENCE_S) for _ in range(3)]
        assert said == ["3probe", "4a", "4b"]
        await probe.close()


async def test_http_with_the_sid_of_an_upgraded_session_is_400_and_harms_nothing() -> None:
    async with serving() as here:
        sid = await here.open()
        probe = await here.websocket(sid)
        for word in ("2probe", "5"):
            await probe.send_str(word)
        await until(lambda: here.sockets[sid].upgraded, "the upgrade")
        assert (await here.poll(sid))[0] == 400
        assert (await here.post(sid, "4stray"))[0] == 400
        assert (await here.ask("GET", f"EIO=4&transport=websocket&sid={sid}"))[0] == 400
        await probe.send_str("4hello")
        assert [await probe.receive_str() for _ in range(2)] == ["3probe", "4hello"]
        assert here.heard == ["hello"]
        await probe.close()


@pytest.mark.parametrize("is_upgraded", [True, False])
async def test_a_second_websocket_of_a_session_is_accepted_and_closed(
    is_upgraded: bool,
) -> None:
    """As the reference server does, and as the official test-suite has it."""
    async with serving() as here:
        if is_upgraded:
            sid = await here.open()
            first = await here.websocket(sid)
            await first.send_str("2probe")
            assert await first.receive_str(timeout=PATIENCE_S) == "3probe"
            await first.send_str("5")
            await until(lambda: here.sockets[sid].upgraded, "the upgrade")
        else:
            first = await here.websocket()
            (sid,) = here.sockets
        second = await here.websocket(sid)
        with contextlib.suppress(ConnectionError):
            for word in ("2probe", "5", "4stray"):
                await second.send_str(word)
        assert (await second.receive(timeout=PATIENCE_S)).type is WSMsgType.CLOSE
        assert (await here.ask("GET", f"EIO=4&transport=websocket&sid={sid}"))[0] == 400
        await first.send_str("4hello")
        assert await first.receive_str(timeout=PATIENCE_S) == "4hello"
        assert here.heard == ["hello"]
        await first.close()


async def test_the_second_of_two_probes_is_closed_and_the_first_completes() -> None:
    async with serving() as here:
        sid = await here.open()
        first, second = await here.websocket(sid), await here.websocket(sid)
        await first.send_str("2probe")
        assert await first.receive_str(timeout=PATIENCE_S) == "3probe"
        await second.send_str("2probe")
        assert (await second.receive(timeout=PATIENCE_S)).type is WSMsgType.CLOSE
        await first.send_str("5")
        await first.send_str("4mine")
        assert await first.receive_str(timeout=PATIENCE_S) == "4mine"
        await first.close()


@pytest.mark.parametrize("words", [["hello"], ["5"], ["2probe", "6"], ["2probe", "4x"], ["2"], []])
@pytest.mark.parametrize("leaves", [True, False])
async def test_an_upgrade_that_fails_leaves_polling_as_it_was(words: list[str], leaves: bool) -> None:
    async with serving(ping_interval=25, ping_timeout=0.3 if not leaves else 20) as here:
        sid = await here.open()
        probe = await here.websocket(sid)
        for word in words:
            await probe.send_str(word)
        if leaves:
            await probe.close()
        else:
            async for message in probe:
                assert message.data == "3probe"
        await until(
            lambda: here.sockets[sid].probe is None and not len(here.engine.probes), "the probe's end"
        )
        assert here.heard == []
        assert await here.post(sid, "4still here") == (200, "ok")
        assert await here.poll(sid) == (200, "4still here")
        again = await here.websocket(sid)
        for word in ("2probe", "5", "4now"):
            await again.send_str(word)
        assert [await again.receive_str() for _ in range(2)] == ["3probe", "4now"]
        await again.close()


async def test_a_session_that_ends_takes_its_probe_with_it() -> None:
    async with serving() as here:
        sid = await here.open()
        probe = await here.websocket(sid)
        await probe.send_str("2probe")
        await probe.receive_str(timeout=PATIENCE_S)
        await here.post(sid, "1")
        assert (await probe.receive(timeout=PATIENCE_S)).type is WSMsgType.CLOSE
        await until(lambda: not here.sockets, "the end")


@pytest.mark.parametrize("seed", range(4))
async def test_messages_both_ways_across_an_upgrade_come_once_and_in_order(seed: int) -> None:
    """The client posts until it upgrades, as the official one does; the server writes all the time."""
    async with serving() as here:
        here.answer = lambda socket, message: None
        sid = await here.open()
        session = here.sockets[sid]
        heard: list[int] = []
        written = 0
        stop = False

        async def server_writes() -> int:
            nonlocal written
            while not stop:
                for _ in range(seed + 1):
                    session.write(Frame(b"4%d" % written))
                    written += 1
                await asyncio.sleep(0.0005 * seed)
            return written

        def take(packets: list[str]) -> None:
            heard.extend(int(packet[1:]) for packet in packets if packet[0] == "4")

        writing = asyncio.ensure_future(server_writes())
        for n in range(5 * seed):
            await here.post(sid, f"4{n}")
            take((await here.poll(sid))[1].split("\x1e"))
        pending = asyncio.ensure_future(here.poll(sid))
        probe = await here.websocket(sid)
        await probe.send_str("2probe")
        assert await probe.receive_str(timeout=PATIENCE_S) == "3probe"
        take((await pending)[1].split("\x1e"))
        await probe.send_str("5")
        for n in range(5 * seed, 5 * seed + 20):
            await probe.send_str(f"4{n}")
        await until(lambda: len(here.heard) == 5 * seed + 20, "all of the client's")
        stop = True
        total = await writing
        while len(heard) < total:
            take([await probe.receive_str(timeout=PATIENCE_S)])
        assert heard == list(range(total))
        assert here.heard == [str(n) for n in range(5 * seed + 20)]
        await probe.close()
