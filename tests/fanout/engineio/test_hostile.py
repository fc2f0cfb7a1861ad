"""What no honest client does: broken frames, one byte at a time, floods, and sockets nobody reads."""

import asyncio

import pytest

from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import HARD_LIMIT_FACTOR, broadcast
from realtime.fanout.engineio.websocket import PONG_BUFFER_BYTES
from tests.fanout.engineio.kit import Raw, masked, module_loop, serving, until, upgrade_request

pytestmark = [module_loop, pytest.mark.both_loops]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(b"4\xff\xfe"), 1007),
        (masked(b"x", 0x83), 1002),
        (masked(b"x", 0xC1), 1002),
        (masked(b"x", 0x80), 1002),
        (masked(b"x", 0x09), 1002),
        (masked(b"x" * 126, 0x89), 1002),
        (masked(b"4a", 0x01) + masked(b"4b", 0x81), 1002),
        (masked(b"\x03", 0x88), 1002),
        (masked(b"\x00\x01", 0x88), 1002),
        (masked(b"\x03\xe8\xff", 0x88), 1007),
        (b"\x81\xff" + b"\xff" * 8, 1009),
    ],
)
async def test_a_frame_that_breaks_the_protocol_is_answered_with_its_code(sent: bytes, code: int) -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.write(sent + masked(b"4after"))
        assert await raw.frame() == (0x88, code.to_bytes(2, "big"))
        await until(lambda: not here.sockets, "the end")
        assert here.heard == []
        raw.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\x034hi",
        b"\x82\x01x",
        b"\x89\x01p",
        b"\x88\x02\x03\xe8",
        b"\x81\x7e\x00\x80" + b"4" * 128,
        b"\x81\x7f" + bytes(5) + b"\x01\x00\x00" + b"4" * 65_536,
        masked(b"4a", 0x01) + b"\x80\x01b",
    ],
)
async def test_a_frame_that_is_not_masked_is_refused_with_1002_and_not_heard(sent: bytes) -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.write(sent + masked(b"4after"))
        assert await raw.frame() == (0x88, (1002).to_bytes(2, "big"))
        await until(lambda: not here.sockets, "the end")
        assert here.heard == []
        assert await raw.ended() == b""
        raw.close()


async def test_what_came_before_a_frame_that_is_not_masked_is_heard() -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.write(masked(b"4good") + b"\x81")
        await raw.writer.drain()
        assert await raw.frame() == (0x81, b"4good")
        raw.writer.write(b"\x034no")
        assert await raw.frame() == (0x88, (1002).to_bytes(2, "big"))
        await until(lambda: not here.sockets, "the end")
        assert here.heard == ["good"]
        raw.close()


async def test_an_unmasked_frame_right_behind_the_handshake_is_refused() -> None:
    async with serving() as here:
        raw = await Raw.to(here.port)
        raw.writer.write(upgrade_request() + b"\x81\x034hi")
        await raw.head()
        assert (await raw.frame())[1].startswith(b"0{")
        assert await raw.frame() == (0x88, (1002).to_bytes(2, "big"))
        assert here.heard == []
        raw.close()


async def test_one_byte_at_a_time_is_heard_like_all_at_once() -> None:
    async with serving() as here:
        raw = await Raw.to(here.port)
        for byte in upgrade_request() + masked(b"4slowly") + masked(b"?", 0x89) + masked(b"\x01", 0x82):
            raw.writer.write(bytes((byte,)))
            await raw.writer.drain()
            await asyncio.sleep(0)
        await raw.head()
        await raw.frame()
        said = [await raw.frame() for _ in range(3)]
        assert said == [(0x81, b"4slowly"), (0x8A, b"?"), (0x82, b"\x01")]
        raw.close()


async def test_fragments_make_one_message_and_pings_may_stand_between_them() -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.write(masked(b"4a", 0x01) + masked(b"p", 0x89) + masked(b"b", 0x00) + masked(b"c", 0x80))
        assert [await raw.frame(), await raw.frame()] == [(0x8A, b"p"), (0x81, b"4abc")]
        raw.close()


async def test_fragments_without_end_are_cut_at_max_payload() -> None:
    async with serving(max_http_buffer_size=10_000) as here:
        raw = await Raw.websocket(here)
        raw.writer.write(masked(b"4", 0x01) + masked(b"x" * 1_000, 0x00) * 20)
        assert await raw.frame() == (0x88, (1009).to_bytes(2, "big"))
        raw.close()


async def test_a_flood_of_pings_that_reads_no_pong_is_cut_off() -> None:
    async with serving() as here:
        raw = await Raw.websocket(here, buffer_bytes=4_096)
        (session,) = here.sockets.values()
        most = 0
        pings = masked(b"x" * 125, 0x89) * 50
        try:
            while here.sockets:
                raw.writer.write(pings)
                await raw.writer.drain()
                most = max(most, session.buffered_bytes)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        await until(lambda: not here.sockets, "the cut")
        assert most <= PONG_BUFFER_BYTES + 200
        raw.close()


async def test_a_client_that_reads_nothing_is_skipped_and_then_cut_off() -> None:
    limit = 16 * 1024
    async with serving(buffer_limit_bytes=limit) as here:
        raw = await Raw.websocket(here, buffer_bytes=4_096)
        (slow,) = here.sockets.values()
        reading = await here.websocket()
        quick = next(s for s in here.sockets.values() if s is not slow)
        frame = Frame(b"4" + b"x" * 2_000)
        while broadcast(frame, [slow, quick], limit) != [slow]:
            await asyncio.wait_for(reading.receive_str(), 20)
        assert slow.buffered_bytes <= limit + len(frame.wire)
        most = 0
        while not slow.closing:
            slow.write(frame)
            most = max(most, slow.buffered_bytes)
        assert most <= limit * HARD_LIMIT_FACTOR + len(frame.wire)
        await until(lambda: slow.closed, "the cut")
        assert broadcast(frame, [slow, quick], limit) == []
        await reading.close()
        raw.close()


async def test_hundreds_of_opens_that_vanish_leave_nothing() -> None:
    async with serving(ping_interval=0.2, ping_timeout=0.2) as here:
        for _ in range(100):
            raw = await Raw.to(here.port)
            raw.writer.write(upgrade_request())
            raw.writer.transport.abort()
            await here.open()
        await until(lambda: not here.sockets and not here.engine._tasks, "an empty server")
        engine = here.engine
        assert [len(line) for line in (engine.quiet, engine.unanswered, engine.farewells)] == [0, 0, 0]
