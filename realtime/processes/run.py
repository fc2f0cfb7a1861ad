"""The processes: a web instance and a worker, from settings to exit."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop
from aiohttp import web

from realtime.api.routes import SERVER_LIMITS
from realtime.logs import set_up_logs
from realtime.processes.web import Instance
from realtime.processes.worker import Worker
from realtime.runtime import (
    BACKLOG,
    Collector,
    listening_socket,
    raise_open_files_limit,
    settle_memory,
    tune_garbage_collector,
)
from realtime.settings import Settings
from realtime.store.db.durability import UnsafeDatabase

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S: Final = 1.0
"""Socket.IO is closed before; aiohttp would otherwise wait 60 s for open connections."""


def run_web(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Exits 1 on an unsafe database, a setting that will not
    do, or a port that is taken.
    """
    _run(settings, _web)


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then let what is on its way arrive."""
    _run(settings, _worker)


def _run(settings: Settings, main: Callable[[Settings], Awaitable[None]]) -> None:
    set_up_logs(settings)
    raise_open_files_limit()
    tune_garbage_collector()
    try:
        _check_given(settings)
        uvloop.run(main(settings))  # type: ignore[arg-type]
    except UnsafeDatabase as error:
        log.error("%s; set ALLOW_UNSAFE_DURABILITY=true to start anyway", error)
        sys.exit(1)
    except ValueError as error:  # what the parts say of a setting when they are made
        log.error("%s", error)
        sys.exit(1)
    except OSError as error:
        log.error("cannot serve on %s:%d: %s", settings.bind_host, settings.port, error.strerror)
        sys.exit(1)


def _check_given(settings: Settings) -> None:
    """Raises ValueError that names what a process cannot be without."""
    for name in ("database_url", "redis_url"):
        if not getattr(settings, name).get_secret_value():
            raise ValueError(f"{name.upper()} is not set")


async def _web(settings: Settings) -> None:
    async with Instance.open(settings) as instance, _serving(instance.app, settings):
        stop = asyncio.ensure_future(_stop_signal())
        failed = asyncio.ensure_future(instance.wait_failed())
        await asyncio.wait([stop, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
        failed.cancel()
        log.info("draining")
        await instance.drain()


async def _worker(settings: Settings) -> None:
    async with Worker.open(settings) as worker, _serving(worker.app, settings):
        await _stop_signal()
        log.info("draining")
        await worker.drain()


@contextlib.asynccontextmanager
async def _serving(app: web.Application, settings: Settings) -> Any:
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        handle_signals=False,
        **SERVER_LIMITS,  # type: ignore[arg-type]  # aiohttp hands them on to its protocol, untyped
    )
    await runner.setup()
    collector = Collector()
    try:
        listener = listening_socket(settings.bind_host, settings.port)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        settle_memory()
        collector.start()
        host, port = runner.addresses[0][:2]
        log.info("listening on %s:%d", host, port)
        yield
    finally:
        collector.stop()
        await runner.cleanup()


async def _stop_signal() -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
