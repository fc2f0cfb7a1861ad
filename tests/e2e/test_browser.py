"""The pages in a real Chromium on the running cluster: a simulated fleet moves on the dispatcher's map."""

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser

from tests.e2e.world import World
from tests.pages.conftest import browser, console_context, open_tab, pages_built

__all__ = ["browser", "pages_built"]  # fixtures, found by their names here
DRIVERS = 8


@asynccontextmanager
async def fleet(world: World) -> AsyncIterator[None]:
    """`wayguard simulate` for this test's tenant; at its end everything must have been acknowledged."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime.cli", "simulate", "--drivers", str(DRIVERS), "--rate", "2"),
        *("--url", world.cluster.url, "--tenant", world.tenant, "--vendor", world.vendor),
        env={
            **os.environ,
            "AUTH_SECRET": world.cluster.settings.auth_secret.get_secret_value(),
            "DATA_DIR": str(world.cluster.folder),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield
        process.send_signal(signal.SIGINT)
        said, _ = await asyncio.wait_for(process.communicate(), 60.0)
        assert process.returncode == 0, said.decode()
        counts = dict(re.findall(r"(\w+)=(\d+)", said.decode()))
        assert int(counts["points"]) == int(counts["acknowledged"]) > 0 and counts["unacknowledged"] == "0"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_fleet_moves_on_the_map_and_a_contact_sees_the_way(
    world: World, browser: Browser, pages_built: None
) -> None:
    pictures = Path(tempfile.mkdtemp(prefix="wayguard-pictures-"))
    context = await console_context(browser)
    async with fleet(world):
        dispatcher = await open_tab(context, world.cluster.url)
        token = world.token(ttl_s=3600)
        await dispatcher.page.goto(f"{world.cluster.url}/console#token={token}&vendor={world.vendor}")
        await dispatcher.until("s.connection === 'live' && s.map_ready", timeout_s=60.0)
        await dispatcher.until("Object.keys(s.drivers).length === a", DRIVERS, timeout_s=60.0)
        seqs = {name: held["seq"] for name, held in (await dispatcher.state())["drivers"].items()}
        await dispatcher.until(
            "Object.entries(a).every(([name, seq]) => s.drivers[name].seq > seq + 3)", seqs, timeout_s=60.0
        )
        await dispatcher.page.get_by_role("button", name="Show all drivers").click()
        before = await dispatcher.page.evaluate(
            "(names) => Object.fromEntries(names.map((n) => [n, window.__wayguard.at(n)]))", list(seqs)
        )
        await dispatcher.until(
            "Object.entries(a).some(([n, p]) => p && Math.abs(window.__wayguard.at(n)?.x - p.x) > 1)",
            before,
            timeout_s=60.0,
        )
        await dispatcher.page.screenshot(path=pictures / "dispatcher.png")

        found = (await world.call("GET", f"/api/v1/journeys?vendor={world.vendor}"))["journeys"]
        journey = next(one["journey_id"] for one in found if one["state"] == "open")
        wish = {"scope": "journey", "expires_in_s": 600}
        link = await world.call("POST", f"/api/v1/journeys/{journey}/shares", json=wish)
        contact = await open_tab(context, world.cluster.url)
        await contact.page.goto(link["url"])
        await contact.until("s.connection === 'live' && s.map_ready", timeout_s=60.0)
        await contact.until("s.journeys[a]?.through > 8 && s.drawing.updates > 0", journey, timeout_s=60.0)
        through = (await contact.state())["journeys"][journey]["through"]
        await contact.until("s.journeys[a[0]].through > a[1]", [journey, through], timeout_s=60.0)
        seqs_seen = (await contact.state())["journeys"][journey]["seqs"]
        assert seqs_seen == list(range(1, seqs_seen[-1] + 1))
        await contact.page.screenshot(path=pictures / "contact.png")

        # The instance that a page hangs on dies: the page goes on by itself.
        for name in world.cluster.instances:
            connections = (await dispatcher.state())["connections"]
            await world.cluster.kill(name)
            await world.cluster.until_up(name)
            seqs = {n: held["seq"] for n, held in (await dispatcher.state())["drivers"].items()}
            await dispatcher.until(
                "s.connection === 'live' && Object.entries(a).every(([n, seq]) => s.drivers[n].seq > seq)",
                seqs,
                timeout_s=60.0,
            )
            assert (await dispatcher.state())["connections"] >= connections
        through = (await contact.state())["journeys"][journey]["through"]
        await contact.until("s.journeys[a[0]].through > a[1]", [journey, through], timeout_s=60.0)
        seqs_seen = (await contact.state())["journeys"][journey]["seqs"]
        assert seqs_seen == list(range(1, seqs_seen[-1] + 1))
        assert dispatcher.outside == contact.outside == [], "the pages ask nobody else"
        await context.close()
    print(f"pictures in {pictures}")
    assert all((pictures / name).stat().st_size > 10_000 for name in ("dispatcher.png", "contact.png"))
