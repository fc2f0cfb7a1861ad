"""One supervised child: started, its output logged, started again when it dies, stopped politely."""

import asyncio
import asyncio.subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from realtime.engines.console import LINE_MAX, Console
from realtime.engines.errors import EngineError
from realtime.engines.processes import Command

STEADY_S = 10.0
"""A child that lived this long was not crashing when it ended."""
RESTART_MAX_S = 10.0
_POLL_S = 0.02

Ready = Callable[[], Awaitable[bool]]


def restart_delay_s(failures: int) -> float:
    """How long to wait before starting a child that ended, ``failures`` short lives in a row.

    At once after a steady life and after the first short one nearly so; then doubling.
    """
    return 0.0 if failures == 0 else min(0.25 * 2 ** (failures - 1), RESTART_MAX_S)


class Service:
    """The child ``name``.

    ``prepare`` makes its command before every start and may block (it runs in a thread); ``is_ready`` says
    whether it does its work.
    """

    def __init__(self, name: str, prepare: Callable[[], Command], is_ready: Ready, console: Console) -> None:
        self.name = name
        self._prepare = prepare
        self._is_ready = is_ready
        self._console = console
        self._command: Command | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._spawning = asyncio.Lock()
        self._said: deque[str] = deque(maxlen=5)
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The child's process, while it lives."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the child and keep it alive until `stop`. Raises EngineError when it cannot be prepared."""
        self._command = await asyncio.to_thread(self._prepare)
        self._task = asyncio.create_task(self._keep_alive(), name=f"keep {self.name}")

    async def until_ready(self, timeout_s: float, patience: int = 3) -> None:
        """Wait until it is ready. Raises EngineError after ``timeout_s`` or ``patience`` quick deaths."""
        deadline = time.monotonic() + timeout_s
        while not await self._is_ready():
            said = " / ".join(self._said) or "it said nothing"
            if self._failures >= patience:
                raise EngineError(f"{self.name} does not start: {said}")
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} was not ready in {timeout_s:.0f} s: {said}")
            await asyncio.sleep(_POLL_S)

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the child; by force when it takes too long or once ``hurry`` is set. Is idempotent."""
        async with self._spawning:  # a child is either there to be told, or will not be started any more
            self._stopping.set()
        process, command = self._process, self._command
        if process is not None and command is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(command.stop_signal)
            if not await _ends(process, command.stop_timeout_s, hurry):
                self._console.say(f"{self.name} does not stop; ending it by force")
                with suppress(ProcessLookupError):
                    process.kill()
        if self._task is not None:
            await self._task

    async def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            begun = time.monotonic()
            ended = await self._live_once()
            if self._stopping.is_set():
                return
            self._failures = 0 if time.monotonic() - begun >= STEADY_S else self._failures + 1
            delay_s = restart_delay_s(self._failures)
            self._console.error(f"{self.name} {ended}; starting it again in {delay_s:.2f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            await self._prepare_again()

    async def _prepare_again(self) -> None:
        try:
            if not self._stopping.is_set():
                self._command = await asyncio.to_thread(self._prepare)
        except EngineError as problem:
            self._console.error(f"{self.name}: {problem}")

    async def _live_once(self) -> str:
        """Run the child to its end; how it ended, in words."""
        try:
            if not await self._spawn():
                return "was not started"
        except OSError as problem:
            return f"cannot be run: {problem.strerror}"
        assert self._process is not None
        await self._log(self._process)
        code = await self._process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"

    async def _spawn(self) -> bool:
        async with self._spawning:
            if self._stopping.is_set():
                return False
            assert self._command is not None
            self._process = await asyncio.create_subprocess_exec(
                *self._command.argv,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                **self._command.popen_options(),
            )
            return True

    async def _log(self, process: asyncio.subprocess.Process) -> None:
        """Pass the child's lines on until it closes its output, a cut one where they are too long."""
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._take(line)
        self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if text:
            self._said.append(text)
            self._console.line(self.name, text)


async def _ends(process: asyncio.subprocess.Process, timeout_s: float, hurry: asyncio.Event) -> bool:
    """Whether ``process`` ends within ``timeout_s`` and before anybody is in a hurry."""
    ending = asyncio.ensure_future(process.wait())
    hurrying = asyncio.ensure_future(hurry.wait())
    await asyncio.wait((ending, hurrying), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not ending.done():
        ending.cancel()
        return False
    return True
