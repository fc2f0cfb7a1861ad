"""Messages of both kinds over both transports, and packets that no client sends."""

import asyncio
import gzip

import pytest
from aiohttp import WSMsgType

from realtime.fanout.engineio.frames import Frame
from tests.fanout.engineio.kit import PATIENCE_S, Raw, masked, module_loop, serving, until

pytestmark = module_loop


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ("4hello", ["hello"]),
        ("4", [""]),
        ("4test1\x1e4test2\x1e4test3", ["test1", "test2", "test3"]),
        ("4hello\x1ebAQIDBA==", ["hello", b"\x01\x02\x03\x04"]),
        ("bAQIDBA==\x1e4é\x1eb", [b"\x01\x02\x03\x04", "é", b""]),
    ],
)
async def test_a_payload_is_heard_answered_ok_and_echoed_whole(body: str, heard: list[str | bytes]) -> None:
    async with serving() as here:
        sid = await here.open()
        assert await here.post(sid, body) == (200, "ok")
        assert here.heard == heard
        assert await here.poll(sid) == (200, body)


async def test_an_empty_post_is_answered() -> None:
    async with serving() as here:
        assert await here.post(await here.open(), "") == (200, "ok")


async def test_text_and_binary_are_echoed_by_websocket() -> None:
    async with serving() as here:
        socket = await here.websocket()
        await socket.send_str("4hello é")
        assert await socket.receive_str() == "4hello é"
        await socket.send_bytes(b"\x01\x02\x03\x04")
        assert await socket.receive_bytes() == b"\x01\x02\x03\x04"
        await socket.send_bytes(b"")
        assert await socket.receive_bytes() == b""
        await socket.send_str("bAQI=")
        assert await socket.receive_bytes() == b"\x01\x02"
        assert here.heard == ["hello é", b"\x01\x02\x03\x04", b"", b"\x01\x02"]
        await socket.close()


@pytest.mark.parametrize("packet", ["abc", "0", "0{}", "2", "2probe", "3x", "5", "6", "7", "9"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_packet_no_client_sends_ends_the_session(packet: str, transport: str) -> None:
    async with serving() as here:
        if transport == "polling":
            sid = await here.open()
            assert (await here.post(sid, packet))[0] == 400
            await until(lambda: not here.sockets, "the end")
            assert (await here.poll(sid))[0] == 400
        else:
            socket = await here.websocket()
            await socket.send_str(packet)
            assert (await socket.receive(timeout=PATIENCE_S)).type is WSMsgType.CLOSE
            assert socket.close_code == 1002
            await until(lambda: not here.sockets, "the end")
        assert here.ended == [here.engine.reason.TRANSPORT_ERROR]


@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_max_payload_is_taken_and_one_byte_more_is_not(kind: str) -> None:
    async with serving(max_http_buffer_size=1_000) as here:
        first = 0x81 if kind == "text" else 0x82
        exact = await Raw.websocket(here)
        exact.writer.write(masked(b"4" + b"x" * 999, first))
        assert (await exact.frame())[1] == b"4" + b"x" * 999
        above = await Raw.websocket(here)
        above.writer.write(masked(b"4" + b"x" * 1_000, first))
        assert await above.frame() == (0x88, (1009).to_bytes(2, "big"))
        sid = await here.open()
        assert (await here.post(sid, "4" + "x" * 999))[0] == 200
        assert (await here.post(sid, "4" + "x" * 1_000))[0] == 400
        await until(lambda: sid not in here.sockets, "the end of who sent too much")
        exact.close()
        above.close()


async def test_frames_written_together_stay_together_on_both_transports() -> None:
    several = [Frame(b'451-["x",{"_placeholder":true,"num":0}]'), Frame.binary(b"\x00\xff"), Frame(b"4end")]
    async with serving() as here:
        sid = await here.open()
        here.sockets[sid].write_together(several)
        text = '451-["x",{"_placeholder":true,"num":0}]'
        assert await here.poll(sid) == (200, f"{text}\x1ebAP8=\x1e4end")
        socket = await here.websocket()
        session = next(s for s in here.sockets.values() if s.wire is not None)
        session.write_together(several)
        assert await socket.receive_str() == text
        assert await socket.receive_bytes() == b"\x00\xff"
        assert await socket.receive_str() == "4end"
        await socket.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
async def test_a_frame_of_every_length_form_arrives_whole(size: int) -> None:
    async with serving() as here:
        socket = await here.websocket()
        (session,) = here.sockets.values()
        session.write(Frame(b"4" + b"x" * size))
        session.write(Frame.binary(b"y" * size))
        assert await socket.receive_str() == "4" + "x" * size
        assert await socket.receive_bytes() == b"y" * size
        await socket.close()


async def test_a_binary_frame_is_encoded_for_polling_once_for_all() -> None:
    frame = Frame.binary(b"\x01\x02")
    assert frame.polled == b"bAQI="
    assert frame.polled is frame.polled
    assert frame.packet == b"\x01\x02"


async def test_a_long_answer_is_compressed_for_who_takes_it() -> None:
    async with serving(compression_threshold=1_000) as here:
        sid = await here.open()
        here.sockets[sid].write(Frame(b"4" + b"x" * 2_000))
        raw = await Raw.to(here.port)
        raw.writer.write(
            f"GET /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
            "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n".encode()
        )
        head = await raw.head()
        assert "Content-Encoding: gzip" in head
        assert gzip.decompress(await raw.ended()) == b"4" + b"x" * 2_000
        raw.close()


async def test_without_a_receiver_the_message_handlers_of_the_stock_server_are_called() -> None:
    for handlers_are_tasks in (True, False):
        async with serving(async_handlers=handlers_are_tasks) as here:
            here.engine.receiver = None
            socket = await here.websocket()

            async def echo(sid: str, message: str | bytes) -> None:
                await asyncio.sleep(0)
                await here.engine.send(sid, message)

            here.engine.on("message", echo)
            await socket.send_str("4hello")
            await socket.send_bytes(b"\x01")
            assert await socket.receive_str() == "4hello"
            assert await socket.receive_bytes() == b"\x01"
            await socket.close()
