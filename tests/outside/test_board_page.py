"""The page in a real Chromium: strangers' words stay words, both widths, both schemes, answers and faults."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.outside.kit import PHONE, Outside, outside
from tests.outside.test_board import ringing
from tests.pages.conftest import browser, is_complaint

__all__ = ["browser"]
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202e\'"&amp;'


@pytest.fixture
async def out() -> AsyncIterator[Outside]:
    async with outside() as made:
        yield made


async def opened(browser: Browser, out: Outside, width: int = 1280, scheme: str = "light") -> Page:
    context = await browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if is_complaint(m) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints  # type: ignore[attr-defined]
    await page.goto(out.url)
    return page


async def closed(page: Page) -> None:
    assert page.complaints == []  # type: ignore[attr-defined]
    await page.context.close()


async def test_a_hostile_name_is_shown_and_does_nothing(browser: Browser, out: Outside) -> None:
    page = await opened(browser, out)
    await out.text(f"{HOSTILE} has pressed SOS")
    await out.mail(f"SOS {HOSTILE}".replace("\u202e", ""), HOSTILE)
    await out.call("<Response><Say>&lt;img src=x onerror=&quot;window.hacked=1&quot;&gt;</Say></Response>")
    (item,) = await out.sent("sms")
    await out.ask("POST", "/_reply", {"id": item["id"], "text": HOSTILE})
    await expect(page.locator("li.item")).to_have_count(3)
    await expect(page.locator("li.sms .text")).to_have_text(f"{HOSTILE} has pressed SOS")
    await expect(page.locator("li.sms .said .person")).to_have_text(HOSTILE)
    await expect(page.locator("li.call .text")).to_have_text('<img src=x onerror="window.hacked=1">')
    assert await page.evaluate("window.hacked === undefined && document.images.length === 0")
    assert await page.locator("main script, main a[href]").count() == 0
    await closed(page)


async def test_nothing_is_cut_off_at_any_width(browser: Browser, out: Outside) -> None:
    await out.text("x" * 900 + f" {out.settings.public_url}/a#{'T' * 90}")
    await out.mail("S" * 200, "m" * 2_000, to=f"{'a' * 60}@{'b' * 60}.example")
    await ringing(out)
    page = await opened(browser, out, 1280, "dark")
    await expect(page.locator("li.item")).to_have_count(3)
    await without_faults(page, "1280, dark")
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.reload()  # a page that loads on a narrow screen closes the box of providers
    await expect(page.locator("li.item")).to_have_count(3)
    await page.locator("summary").click()
    await expect(page.locator("#box")).to_have_attribute("open", "")
    await without_faults(page, "360, dark")
    await page.emulate_media(color_scheme="light")
    await without_faults(page, "360, light")
    await closed(page)


async def without_faults(page: Page, how: str) -> None:
    """Nothing runs out of the side, every control is big enough, and every button has a name."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), how
    small = await page.evaluate(
        "[...document.querySelectorAll('button, input')].filter((e) => e.offsetHeight < 40).length"
    )
    assert small == 0, how
    nameless = await page.evaluate(
        "[...document.querySelectorAll('button')].filter((e) => !e.getAttribute('aria-label')).length"
    )
    assert nameless == 0, how


async def test_people_answer_by_text_and_by_key(browser: Browser, out: Outside) -> None:
    await out.text(f"Sam has pressed SOS. {out.settings.public_url}/a#token")
    call = await ringing(out)
    page = await opened(browser, out)
    await page.get_by_role("button", name=f"Reply 1 from {PHONE}").click()
    await expect(page.locator("li.sms .said .wayguard")).to_have_text("heard 1")
    await page.get_by_role("textbox", name="A reply").fill("on my way")
    await page.keyboard.press("Enter")
    await expect(page.locator("li.sms .said .person")).to_have_text(["1", "on my way"])
    await page.get_by_role("button", name=f"Press 1 as {PHONE}").click()
    await expect(page.locator("li.call .said .wayguard")).to_have_text("heard 1")
    await expect(page.get_by_role("button", name="Press")).to_have_count(0)
    bodies = [form["Body"] for path, form in out.hooked if path == "/hooks/twilio/sms"]
    assert bodies == ["1", "on my way"]
    assert [form["Digits"] for _, form in out.hooked if "Digits" in form] == ["1"]
    assert out.servers.twilio.find(str(call["id"])).status == "completed"  # type: ignore[union-attr]
    link = page.get_by_role("link", name="Open the link")
    assert await link.get_attribute("href") == f"{out.settings.public_url}/a#token"
    await closed(page)


async def test_what_is_being_typed_stays_while_messages_come(browser: Browser, out: Outside) -> None:
    await out.text("the first")
    page = await opened(browser, out)
    box = page.get_by_role("textbox", name="A reply")
    await box.fill("half a sent")
    await out.text("the second")
    await out.text("the third")
    await expect(page.locator("li.sms")).to_have_count(3)
    await expect(page.locator("li.sms .text").first).to_have_text("the third")
    assert await page.locator("li.sms").last.get_by_role("textbox").input_value() == "half a sent"
    await closed(page)


async def test_providers_are_broken_and_mended_by_keyboard(browser: Browser, out: Outside) -> None:
    page = await opened(browser, out)
    group = page.get_by_role("group", name="Twilio")
    await expect(page.locator("#health")).to_have_text("all healthy")
    await group.get_by_role("radio", name="healthy").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#health")).to_have_text("Twilio fails")
    assert await out.text("help") == 500
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#health")).to_have_text("Twilio hangs")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#health")).to_have_text("all healthy")
    assert await out.text("help") == 201
    await closed(page)


async def test_an_answer_that_did_not_work_is_said_and_stays_to_be_read(
    browser: Browser, out: Outside
) -> None:
    await ringing(out)
    page = await opened(browser, out)
    button = page.get_by_role("button", name=f"Do not answer as {PHONE}")
    await expect(button).to_be_visible()
    out.servers.twilio.phone_calls.clear()  # as after the stand-ins were started again
    await button.click()
    await expect(page.get_by_role("alert")).to_contain_text("no such call")
    await expect(page.locator("li.call")).to_have_count(0)
    await expect(page.get_by_role("alert")).to_contain_text("no such call")
    complaints = page.complaints  # type: ignore[attr-defined]
    assert all("404" in line for line in complaints)  # the browser's own note of the refusal
    await page.context.close()
