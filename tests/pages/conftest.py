"""A real Chromium, the pages as built, and a fake server that a test steers."""

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from realtime.pages.routes import STATIC
from tests.pages.fake import FakeServer

WEB = STATIC.parent / "web"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
POLLING_MS = 50
"""How often a condition is read. The default is every frame, which costs much with 2,000 drivers."""
FEWER_FRAMES = """
(() => {
  const [ask, cancel] = [window.requestAnimationFrame, window.cancelAnimationFrame];
  const timers = new Map();
  const frames = new Map();
  let last = 0;
  window.requestAnimationFrame = (callback) => {
    last += 1;
    const id = last;
    const wait = () => {
      timers.delete(id);
      frames.set(id, ask.call(window, (atMs) => {
        frames.delete(id);
        callback(atMs);
      }));
    };
    timers.set(id, setTimeout(wait, window.__frameGapMs ?? 200));
    return id;
  };
  window.cancelAnimationFrame = (id) => {
    clearTimeout(timers.get(id));
    timers.delete(id);
    if (frames.has(id)) cancel.call(window, frames.get(id));
    frames.delete(id);
  };
})();
"""
"""Some five frames a second: without a graphics card each costs CPU time. __frameGapMs may be set to 0."""


def npm(*words: str) -> None:
    subprocess.run(["npm", "--silent", *words], cwd=WEB, check=True, timeout=300, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def pages_built() -> None:
    """The pages as their sources are now; built when a source is newer than what was built."""
    built = STATIC / "console.html"
    rooms = ("messages", "src", "basemap", "emergency")
    sources = [*WEB.glob("*.*"), *(path for room in rooms for path in (WEB / room).rglob("*"))]
    if built.exists() and built.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
        return
    if not (WEB / "node_modules" / "vite").exists():
        npm("ci", "--no-audit", "--no-fund")
    npm("run", "build")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless; CHROMIUM names another."""
    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(path).exists():
        pytest.fail(f"{path} is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        await browser.close()


@dataclass
class Tab:
    """A page and what went wrong on it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    async def state(self) -> Any:
        return await self.page.evaluate("() => window.__wayguard?.state ?? null")

    async def until(self, condition: str, arg: Any = None, timeout_s: float = 20.0) -> None:
        """Waits for a condition: JavaScript over ``s`` (the page's state) and ``a`` (``arg``)."""
        script = f"(a) => {{ const s = window.__wayguard?.state; return !!s && !!({condition}); }}"
        await self.page.wait_for_function(script, arg=arg, timeout=timeout_s * 1_000, polling=POLLING_MS)

    def unexpected(self) -> list[str]:
        return [line for line in self.complaints if not any(word in line for word in self.expected)]


def is_complaint(message: ConsoleMessage) -> bool:
    """Errors and warnings, save for the driver's own that software rendering and screenshots are slow."""
    return message.type in ("error", "warning") and "GL Driver Message" not in message.text


async def few_frames_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context whose pages draw some five frames a second, for tests in which frames are not the subject."""
    context = await browser.new_context(**options)
    await context.add_init_script(FEWER_FRAMES)
    return context


async def console_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context for the console, which draws some five frames a second; 1280 × 800 by default."""
    return await few_frames_context(browser, **{"viewport": {"width": 1280, "height": 800}, **options})


async def open_tab(context: BrowserContext, origin: str) -> Tab:
    tab = Tab(await context.new_page())
    page = tab.page
    page.on("console", lambda m: tab.complaints.append(m.text) if is_complaint(m) else None)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))

    def note(url: str) -> None:
        if not url.startswith((origin, "blob:", "data:", origin.replace("http", "ws", 1))):
            tab.outside.append(url)

    page.on("request", lambda request: note(request.url))
    page.on("websocket", lambda socket: note(socket.url))
    return tab


@pytest.fixture
async def server(pages_built: None) -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def tab(browser: Browser, server: FakeServer) -> AsyncIterator[Tab]:
    """A fresh tab; at the end nothing may have been complained of and nothing asked of anybody else."""
    context = await browser.new_context(viewport={"width": 820, "height": 560})
    tab = await open_tab(context, server.url)
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []
