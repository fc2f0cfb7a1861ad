"""Asking a process of ours whether it is there, over HTTP, with nothing that takes long to import."""

import asyncio
from collections.abc import Awaitable, Callable


async def http_status(host: str, port: int, path: str, timeout_s: float = 1.0) -> int | None:
    """The status that ``GET path`` is answered with; None when nobody answers in time."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    parts = line.split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None


def answers_200(host: str, port: int, path: str) -> Callable[[], Awaitable[bool]]:
    """A check that ``path`` is answered with 200 now."""

    async def check() -> bool:
        return await http_status(host, port, path) == 200

    return check
