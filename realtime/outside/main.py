"""`wayguard outside`: the stand-ins and their page as one process, until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import sys
from typing import Final

from aiohttp import web

from realtime.logs import set_up_logs
from realtime.outside.accounts import HOST
from realtime.outside.page import SandboxPage
from realtime.outside.servers import Servers
from realtime.settings import Settings

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_S: Final = 0.5


def run(settings: Settings) -> None:
    """Serve. Exits 1 when the settings point at no stand-ins, or a port is taken."""
    set_up_logs(settings)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # it tells every address
    try:
        asyncio.run(_serve(settings))
    except ValueError as error:
        log.error("%s", error)
        sys.exit(1)
    except OSError as error:
        log.error("cannot listen: %s", error.strerror)
        sys.exit(1)


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Servers(settings) as servers:
        runner = web.AppRunner(
            SandboxPage(servers).app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        await runner.setup()
        try:
            # Never on another address: whoever reaches the page can answer for everybody.
            await web.TCPSite(runner, HOST, settings.port).start()
            log.info("listening on %s:%d", *runner.addresses[0][:2])
            await stopped.wait()
        finally:
            await runner.cleanup()
