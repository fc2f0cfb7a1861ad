"""`./run --outside demo` as its user has it: an SOS goes out three ways, a reply on the page answers it."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.engines.harness import Supervised, remains
from tests.engines_fixtures import engine_folder
from tests.pages.conftest import browser, is_complaint

__all__ = ["browser"]
PATIENT_MS = 60_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory; at the end nothing that was started for it may run."""
    with engine_folder() as folder:
        yield folder
        assert remains(folder) == []


async def alerts(folder: Path, *arguments: str) -> str:
    """What `wayguard alerts` says beside the running system."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime.cli", "alerts", *arguments),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "DATA_DIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60.0)
    return said.decode()


async def test_an_sos_of_the_demo_is_seen_and_answered_without_any_account(
    folder: Path, browser: Browser
) -> None:
    command = (sys.executable, "-m", "realtime.cli", "up", "--outside", "demo")
    command += ("--instances", "1", "--workers", "1")
    complaints: list[str] = []
    # A proxy that nobody can reach: nothing of this may ask one.
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    with Supervised(folder, command, **proxies) as up:
        page_url = (await asyncio.to_thread(up.line, r"^  outside +(http://127\.0\.0\.1:\d+/)"))[1]
        answer_url = (await asyncio.to_thread(up.line, r"^  answer +(http\S+/a#\S+)$"))[1]
        context = await browser.new_context(viewport={"width": 390, "height": 844})
        page = await context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if is_complaint(m) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(page_url)
        for kind in ("sms", "push", "mail"):
            item = page.locator(f"li.{kind}", has_text="Alex Reed").first
            await expect(item).to_contain_text("SOS", timeout=PATIENT_MS)
            await expect(item.get_by_role("link", name="Open the link")).to_be_visible()

        # The code that verified the contact came the same way.
        await expect(page.locator("li.sms", has_text="is your code")).to_have_count(1)
        listed = await alerts(folder)
        assert "active" in listed and "sim-01" in listed, listed

        await page.locator("li.sms", has_text="Alex Reed").first.get_by_role("button", name="Reply 1").click()
        said = page.locator("li.sms .said .wayguard")
        await expect(said).to_contain_text("Alex Reed", timeout=PATIENT_MS)
        listed = await alerts(folder)
        assert "acknowledged" in listed, listed
        found = re.search(r"^([0-9a-f]{8})-", listed, re.MULTILINE)
        assert found is not None
        story = await alerts(folder, "show", found[1])
        assert "acknowledged by contact Jo Reed" in story and "how sms" in story, story

        # The link that was printed is Jo's own.
        await page.goto(answer_url)
        await expect(page.locator("#status")).to_have_text("You are on it. Thank you.", timeout=PATIENT_MS)
        await context.close()
        assert await asyncio.to_thread(up.end) == 0
    assert complaints == []
    assert not [line for line in up.lines if re.search(r"error: |Traceback|\+1202", line)], up.lines
