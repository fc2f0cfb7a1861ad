"""The proxy's fault `refuse`: what is behind it hears nothing until `accept`."""

import asyncio
from contextlib import suppress

from tests.e2e.proxy import Proxy


async def test_a_refusing_proxy_lets_no_byte_through_until_it_accepts() -> None:
    received: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            received.append(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy, asyncio.timeout(20):
        port = int(proxy.url.rsplit(":", 1)[1])

        async def sent(data: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(data)
                return await reader.read(100)
            finally:
                writer.close()

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"before")
        assert await reader.read(100) == b"before"
        proxy.refuse()
        writer.write(b"during")
        with suppress(ConnectionError):
            assert await reader.read(100) == b"", "the open connection is aborted"
        writer.close()
        with suppress(ConnectionError):
            assert await sent(b"during") == b"", "a new connection is aborted"
        proxy.accept()
        assert await sent(b"after") == b"after"
    assert received == [b"before", b"after"]
