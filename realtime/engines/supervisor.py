"""Starts everything in order, keeps it alive, and stops it in order.

Start: Postgres and Redis; migrations; stand-ins of the outside, if wanted; instances, workers and the
balancer; the demo.
Stop: the demo; the balancer drains; instances; the balancer; workers; stand-ins; Redis; Postgres.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from realtime.engines import demo_people, haproxy, processes
from realtime.engines.console import Console
from realtime.engines.embedded import Embedded
from realtime.engines.errors import EngineError
from realtime.engines.layout import DataDir
from realtime.engines.plan import MARK, Part, SystemPlan
from realtime.engines.probe import answers_200
from realtime.engines.service import Service

START_TIMEOUT_S = 60.0
MIGRATE_TIMEOUT_S = 900.0

Announce = Callable[[SystemPlan, Console], Coroutine[Any, Any, None]]


class Supervisor:
    """Runs a `SystemPlan` until it is told to stop. ``announce`` is called once everything is ready."""

    def __init__(self, plan: SystemPlan, console: Console, announce: Announce | None = None) -> None:
        self._plan = plan
        self._console = console
        self._announce = announce
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._engines = _engines(plan, console)
        self._webs = [_part_service(part, console) for part in plan.webs]
        self._workers = [_part_service(part, console) for part in plan.workers]
        self._outside = [_part_service(plan.outside, console)] if plan.outside else []
        self._balancer = _balancer_service(plan, console)
        self._demo = _demo_service(plan, console)
        self._announcing: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until SIGINT, SIGTERM or SIGHUP (twice: by force). The exit code: 1 when it could not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._told_to_stop)
        code = 0
        try:
            await self._unless_stopped(self._start())
            await self._stop.wait()
        except EngineError as problem:
            self._console.error(str(problem))
            code = 1
        finally:
            await self._stop_all()
        return code

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        else:
            self._console.say("stopping; once more to stop by force")
        self._stop.set()

    async def _unless_stopped(self, starting: Coroutine[Any, Any, None]) -> None:
        """Carry out ``starting``, or give it up as soon as we are told to stop."""
        start = asyncio.ensure_future(starting)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not start.done():
            start.cancel()
        with suppress(asyncio.CancelledError):
            await start

    # --- starting

    async def _start(self) -> None:
        self._console.say(
            f"starting, with {self._plan.data.path} for data and up to {self._plan.balancer.maxconn} clients"
        )
        await self._start_ready(self._engines)
        await self._release()
        await self._start_ready(self._outside)
        await self._start_ready([*self._webs, *self._workers, self._balancer])
        if self._demo is not None:
            await self._demo.start()
        if self._announce is not None:
            self._announcing = asyncio.create_task(self._announce(self._plan, self._console))

    async def _start_ready(self, services: Iterable[Service]) -> None:
        services = list(services)
        await asyncio.gather(*(service.start() for service in services))
        await asyncio.gather(*(service.until_ready(START_TIMEOUT_S) for service in services))

    async def _release(self) -> None:
        """Run the migrations to their end. Raises EngineError when they fail."""
        command = self._plan.release
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **command.popen_options(),
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(MIGRATE_TIMEOUT_S):
                async for line in process.stdout:
                    self._console.line("release", line.decode(errors="replace"))
                code = await process.wait()
        except TimeoutError:
            raise EngineError(f"migrations took longer than {MIGRATE_TIMEOUT_S:.0f} s") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        if code != 0:
            raise EngineError("migrations failed; see above")

    # --- stopping

    async def _stop_all(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
        if self._demo is not None:
            await self._demo.stop(self._hurry)
        await asyncio.to_thread(self._drain)
        await self._stop_together(self._webs)
        await self._stop_together([self._balancer])
        await self._stop_together(self._workers)
        await self._stop_together(self._outside)
        for engine in reversed(self._engines):
            # Never by force before its time: they write what they hold.
            await engine.stop(asyncio.Event())

    def _drain(self) -> None:
        if self._balancer.pid is None:
            return
        for web in self._plan.webs:
            with suppress(EngineError):
                haproxy.drain(self._plan.balancer.admin_socket, web.name)

    async def _stop_together(self, services: Iterable[Service]) -> None:
        await asyncio.gather(*(service.stop(self._hurry) for service in services))


def end_leftovers(data: DataDir, console: Console) -> None:
    """End what an earlier supervisor of this data directory left behind. Its lock must be ours."""
    for pid in processes.marked_with(MARK, str(data.path)):
        console.say(f"ending process {pid}, left by an earlier start")
        processes.end_orphan(pid)


def _engines(plan: SystemPlan, console: Console) -> list[Service]:
    """Services of the embedded engines, in the order in which they start."""
    services = []
    for engine in (plan.postgres, plan.redis):
        if engine is not None:

            def prepare(engine: Embedded = engine) -> processes.Command:
                engine.prepare()
                return engine.command()

            async def ready(engine: Embedded = engine) -> bool:
                return await asyncio.to_thread(engine.is_ready)

            services.append(Service(engine.name, prepare, ready, console))
    return services


def _part_service(part: Part, console: Console) -> Service:
    return Service(part.name, lambda: part.command, answers_200("127.0.0.1", part.port, "/readyz"), console)


def _balancer_service(plan: SystemPlan, console: Console) -> Service:
    def prepare() -> processes.Command:
        plan.balancer.write(plan.configuration)
        command = plan.balancer.command(plan.configuration)
        return replace(command, env={**command.env, MARK: str(plan.data.path)})

    host = plan.host if plan.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return Service("haproxy", prepare, answers_200(host, plan.port, "/readyz"), console)


def _demo_service(plan: SystemPlan, console: Console) -> Service | None:
    command = plan.demo
    if command is None:
        return None

    def prepare() -> processes.Command:
        if plan.outside is not None:
            demo_people.introduce(plan, console)
        return command

    async def ready() -> bool:
        return True

    return Service("demo", prepare, ready, console)
