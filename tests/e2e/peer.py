"""A Node process with the official socket.io-client, from Python."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "node" / "package.json"
STEP_S = 60.0


class Peer:
    """One client. ``lines`` is all it said, in order; events are its lines with an ``event``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._asked = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(json.loads(line))
            self._arrived.set()

    def events(self, name: str, feed: str) -> list[Any]:
        """The second argument of every ``name`` of ``feed`` so far."""
        return [
            line["args"][1] for line in self.lines if line.get("event") == name and line["args"][0] == feed
        ]

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until ``condition`` gives something true, and return that."""
        try:
            async with asyncio.timeout(STEP_S):
                while not (found := condition()):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"not in {STEP_S:g} s: {what}; last said {self.lines[-3:]}") from None
        return found

    async def connect(
        self, url: str, namespace: str, token: str, transports: list[str], want: str | None = None
    ) -> str:
        """Connect; the name of the instance it came to."""
        self._command(
            do="connect",
            url=url,
            namespace=namespace,
            auth={"token": token},
            transports=transports,
            want=want,
        )
        line = await self.until(lambda: self.first("connected"), f"connected to {namespace}")
        return str(line["connected"]).partition(".")[0]

    async def ask(self, event: str, payload: Any) -> Any:
        """The answer to an event."""
        self._asked += 1
        number = self._asked
        self._command(do="emit", id=number, event=event, payload=payload)
        line = await self.until(
            lambda: next((said for said in self.lines if said.get("ack") == number), None), event
        )
        return line["answer"]

    def first(self, key: str) -> dict[str, Any] | None:
        """The first line that has ``key``."""
        return next((line for line in self.lines if key in line), None)

    def _command(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def close(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def peers(count: int) -> AsyncIterator[list[Peer]]:
    """So many clients, ended with the block."""
    node = shutil.which("node")
    assert node and (PACKAGES.parent / "node_modules").is_dir(), "run `npm ci` in tests/node"
    started = [
        Peer(
            await asyncio.create_subprocess_exec(
                node,
                str(HERE / "node" / "peer.mjs"),
                env={**os.environ, "NODE_PACKAGES": str(PACKAGES)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=16 * 1024 * 1024,
            )
        )
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        await asyncio.gather(*(peer.close() for peer in started))
