"""What `replay` and `simulate` share: settings, tokens, one HTTP session, the display, the closing line."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import uvloop
from rich.console import Console

from geo.distance import Plane
from realtime.cli.environment import settings_here, settings_of_process
from realtime.client.credentials import driver_tokens
from realtime.client.link import TokenSource
from realtime.client.playback import Playback
from realtime.client.recording import read_trips
from realtime.client.report import is_complete, progress, summary, total_stats
from realtime.protocol import Refused
from realtime.settings import Settings


class CommandError(Exception):
    """What is wrong with the command's input, for its user."""


def play_recording(
    file: Path, speed: float, url: str, tenant: str, vendor: str, token: str, flush_s: float, seed: int
) -> bool:
    """`wayguard replay`; whether everything was acknowledged. Raises CommandError."""
    try:
        trips = read_trips(file)
        settings, token_of = _credentials(tenant, vendor, token)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error

    async def main(console: Console) -> bool:
        async with _session() as http:
            try:
                playback = Playback(
                    url or settings.public_url, trips, token_of, speed=speed, rng=_rng(seed), http=http
                )
            except Refused as error:
                raise CommandError(error.message) from error
            with progress(console, f"replay {file.name}", playback.total) as show:
                await _interruptible(playback.run(show, flush_s))
        return _close(console, list(playback.drivers.values()), playback.failures)

    return _run(main)


def play_crowd(
    drivers: int,
    rate_hz: float,
    duration_s: float | None,
    batch: int,
    seed: int,
    url: str,
    tenant: str,
    vendor: str,
    centre: str,
    journey_s: float,
    flush_s: float,
    sos_after_s: float | None,
) -> bool:
    """`wayguard simulate`; whether everything was acknowledged. Raises CommandError."""
    # Imported here: a replay needs no streets, and their geometry is half a second of imports.
    from geo.streets import build_city
    from realtime.client.crowd import Crowd

    rng = _rng(seed)
    try:
        settings, token_of = _credentials(tenant, vendor, "")
        city = build_city(rng.getrandbits(32), plane=_plane(centre))
    except ValueError as error:
        raise CommandError(str(error)) from error
    width = len(str(drivers))
    names = [f"sim-{number:0{width}d}" for number in range(1, drivers + 1)]

    async def main(console: Console) -> bool:
        async with _session() as http:
            try:
                crowd = Crowd(
                    url or settings.public_url,
                    city,
                    names,
                    token_of,
                    rng=rng,
                    rate_hz=rate_hz,
                    batch=batch,
                    journey_min_s=journey_s,
                    sos_after_s=sos_after_s,
                    on_sos=lambda said: console.out(said, highlight=False),
                    http=http,
                )
            except Refused as error:
                raise CommandError(error.message) from error
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, crowd.stop)
            with progress(console, f"simulate {drivers} drivers", duration_s) as show:
                await crowd.run(show, duration_s=duration_s, flush_timeout_s=flush_s)
        return _close(console, crowd.clients, crowd.failures)

    return _run(main)


def _credentials(tenant: str, vendor: str, token: str) -> tuple[Settings, Callable[[str], TokenSource]]:
    """The settings, and the token of each driver. Exits when the settings are bad."""
    if token:
        return settings_of_process(), lambda driver: token
    settings = settings_here()
    return settings, lambda driver: driver_tokens(settings, tenant, vendor, driver)


def _plane(centre: str) -> Plane:
    if not centre:
        from geo.streets import LIVERPOOL

        return LIVERPOOL
    try:
        lat, lon = (float(part) for part in centre.split(","))
    except ValueError:
        raise ValueError(f"centre is not LAT,LON: {centre}") from None
    if not (abs(lat) <= 85.0 and abs(lon) <= 179.0):
        raise ValueError(f"centre is off the map: {centre}")
    return Plane(lat, lon)


def _rng(seed: int) -> Random:
    return Random(seed or time.time_ns())  # noqa: S311  routes and jitter are no secrets


def _session() -> aiohttp.ClientSession:
    """One session for all drivers; each connection is a websocket that stays."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _interruptible(playing: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C and SIGTERM end it early; the closing line then says what is missing."""
    task = asyncio.ensure_future(playing)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def _close(console: Console, drivers: list[Any], failures: dict[str, str]) -> bool:
    for name, reason in list(failures.items())[:10]:
        console.out(f"driver {name} was stopped: {reason}", highlight=False)
    stats, kept = total_stats(drivers)
    console.out(summary(stats, kept), highlight=False)
    return is_complete(stats, kept)


def _run(main: Callable[[Console], Coroutine[Any, Any, bool]]) -> bool:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main(Console()))
