"""The page in a phone-sized Chromium, on a real instance: what is shown, the button, the end."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.answers.test_answers import post, raised
from tests.sockets.kit import Server

PATIENCE_MS = 20_000


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser) -> AsyncIterator[Page]:
    """A page of 360 by 640."""
    context = await browser.new_context(viewport={"width": 360, "height": 640}, locale="en")
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    await context.close()


async def test_the_button_is_on_the_first_screen_and_says_that_they_are_on_it(
    server: Server, phone: Page
) -> None:
    errors: list[str] = []
    phone.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    phone.on("pageerror", lambda error: errors.append(str(error)))
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    button = phone.locator("#ack")
    await expect(button).to_have_text("I am on it")
    box = await button.bounding_box()
    assert box is not None
    assert box["height"] >= 48
    assert box["x"] + box["width"] <= 360
    await expect(phone.locator("#coordinates")).to_have_text("53.40000, -2.90000")
    await button.click()
    await expect(phone.locator("#status")).to_contain_text("You are on it")
    phone.on("dialog", lambda dialog: dialog.accept())
    await phone.locator("#false").click()
    await expect(phone.locator("#status")).to_contain_text("False alarm")
    await expect(button).to_be_hidden()
    assert errors == []


async def test_what_others_do_appears_and_a_bad_link_says_so(server: Server, phone: Page) -> None:
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#status")).to_contain_text("Nobody")
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    await expect(phone.locator("#status")).to_contain_text("You are on it", timeout=PATIENCE_MS)
    await phone.goto(f"{server.url}/a#nonsense")
    await expect(phone.locator("#trouble")).to_contain_text("not valid", timeout=PATIENCE_MS)
