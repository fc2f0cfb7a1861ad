"""The page in a phone-sized Chromium, on a real instance: what is shown, the button, the map, the end."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, expect

from alerts.words.language import words_of
from realtime.pages.routes import STATIC
from realtime.store.people import driver_settings
from realtime.store.people.driver_settings import Profile
from tests.answers.test_answers import post, raised, token
from tests.sockets.kit import Server, now_ms
from tests.store.people import put_contact

PATIENCE_MS = 20_000
SIZES = ((360, 640), (390, 844))
LINKS = json.loads((STATIC.parent / "web" / "tests" / "links.json").read_text())["cases"]
ANSWERS = [case for case in LINKS if case["kind"] == "answer"]


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, pages_built: None) -> AsyncIterator[BrowserContext]:
    """A phone of 360 by 640."""
    made = await browser.new_context(viewport={"width": 360, "height": 640}, locale="en")
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def phone(context: BrowserContext) -> Page:
    """Its page."""
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


async def is_on_screen(page: Page, part: Locator) -> bool:
    """Whether all of ``part`` is seen without scrolling."""
    await expect(part).to_be_visible()
    box = await part.bounding_box()
    size = page.viewport_size
    assert box is not None and size is not None
    inside = box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
    return inside and box["x"] >= 0 and box["x"] + box["width"] <= size["width"]


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


@pytest.mark.parametrize("language", ["en", "hi"])
async def test_without_coordinates_the_page_says_that_the_position_is_unknown(
    server: Server, phone: Page, language: str
) -> None:
    driver = f"d-{uuid4()}"
    fields = {"driver_id": driver, "name": "Ana", "phone": "+447700900188", "language": language}
    raw = await server.driver(driver)
    contact = await put_contact(server.db, "t1", **fields)
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4())})
    await phone.goto(f"{server.url}/a#{token(server, ack['alert_id'], str(contact))}")
    assert await is_on_screen(phone, phone.locator("#accuracy"))
    await expect(phone.locator("#where")).to_have_text(re.compile(re.escape(words_of(language).no_position)))
    for hidden in ("#box", "#web", "#coordinates"):
        await expect(phone.locator(hidden)).to_be_hidden()


async def test_what_others_do_appears_and_a_bad_link_says_so(server: Server, phone: Page) -> None:
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#status")).to_contain_text("Nobody")
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    await expect(phone.locator("#status")).to_contain_text("You are on it", timeout=PATIENCE_MS)
    await phone.goto(f"{server.url}/a#nonsense")
    await expect(phone.locator("#trouble")).to_contain_text("not valid", timeout=PATIENCE_MS)


# --- links that were changed on the way


async def test_the_token_is_found_in_a_link_that_was_changed_on_the_way(server: Server, phone: Page) -> None:
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or "")["token"])
        error = {"code": "not_found", "message": "", "retryable": False}
        await route.fulfill(status=404, json={"ok": False, "error": error})

    await phone.route("**/answers/view", refuse)
    wrong = []
    for case in ANSWERS:
        asked.clear()
        await phone.goto("about:blank")
        await phone.goto(server.url + case["address"])
        await phone.locator("#wrong").wait_for()
        found = asked[0] if asked else None
        if found != case["is"]:
            wrong.append((case["what"], found))
        if found is not None:
            # What Chromium takes for a text fragment stays in its address bar, and is in no script's
            # location.
            assert phone.url.partition(":~:")[0] == f"{server.url}/a#{found}"
    assert wrong == []
    assert len(ANSWERS) > 40


@pytest.mark.parametrize("address", ["/a%23{}", "/a/#{}", "/a#{}.", "/a#{}&utm_source=x", "/a%2523{})"])
async def test_a_changed_link_opens_the_alert(server: Server, phone: Page, address: str) -> None:
    _, link = await raised(server)
    await phone.goto(server.url + address.format(link))
    await expect(phone.locator("#ack")).to_have_text("I am on it")


@pytest.mark.parametrize(
    ("locale", "said"), [("de-AT", "Dieser Link gilt so nicht"), ("fr", "pas valable"), ("sw", "not valid")]
)
async def test_a_link_without_its_token_helps_in_the_readers_language(
    server: Server, browser: Browser, pages_built: None, locale: str, said: str
) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 640}, locale=locale)
    page = await context.new_page()
    try:
        for address in ("/a", "/a#", "/a/", "/a#nonsense", "/a?utm_source=x"):
            await page.goto("about:blank")
            await page.goto(server.url + address)
            await expect(page.locator("#trouble")).to_contain_text(said)
            assert await is_on_screen(page, page.locator("#wrong").get_by_role("link", name="112"))
    finally:
        await context.close()


async def test_a_link_that_was_good_once_says_that_it_is_over(server: Server, phone: Page) -> None:
    alert_id, _ = await raised(server)
    await phone.goto(f"{server.url}/a#{token(server, alert_id, valid_ms=-2_000)}")
    await expect(phone.locator("#trouble")).to_have_text("This link is not valid any more.")
    await expect(phone.locator("#cutwhy")).to_be_hidden()


# --- the map and the calls


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_map_maps_and_button_are_on_the_first_screen_of_an_sos(
    server: Server, phone: Page, width: int, height: int
) -> None:
    await phone.set_viewport_size({"width": width, "height": height})
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await phone.locator("#map canvas").wait_for()
    for part in ("#box", "#maps", "#status", "#ack"):
        assert await is_on_screen(phone, phone.locator(part)), part
    await expect(phone.locator("#maps")).to_have_text("Open in maps")
    assert "53.4" in (await phone.locator("#maps").get_attribute("href") or "")
    assert await phone.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_map_follows_the_driver(server: Server, phone: Page) -> None:
    driver = await server.driver(f"d-{uuid4()}")
    journey = await server.journey(driver, points=3)
    press = {"sos_id": str(uuid4()), "journey_id": journey, "point": [3, now_ms(), 53.4, -2.9, 0, 0, 9]}
    ack = await driver.ask("/driver", "sos", press)
    await phone.goto(f"{server.url}/a#{token(server, ack['alert_id'])}")
    await expect(phone.locator("#map")).to_have_attribute(
        "data-at", "53.40000, -2.90000", timeout=PATIENCE_MS
    )
    point = [4, now_ms(), 53.45, -2.95, 3.0, 90.0, 6.0]
    answer = await driver.ask("/driver", "positions", {"journey_id": journey, "points": [point]})
    assert answer["ok"], answer
    await expect(phone.locator("#map")).to_have_attribute(
        "data-at", "53.45000, -2.95000", timeout=PATIENCE_MS
    )


async def test_at_the_safety_address_the_map_is_that_of_the_public_one(server: Server, phone: Page) -> None:
    """The page's own address stands for SAFETY_URL, another name of this machine for PUBLIC_URL."""
    public = server.url.replace("127.0.0.1", "localhost")

    async def apart(route: Route) -> None:
        answer = await route.fetch()
        html = (await answer.text()).replace('data-public=""', f'data-public="{public}"')
        policy = answer.headers["content-security-policy"].replace("frame-ancestors 'none'", "")
        headers = {**answer.headers, "content-security-policy": f"{policy}; frame-src {public}"}
        del headers["x-frame-options"]
        await route.fulfill(response=answer, body=html, headers=headers)

    await phone.route(lambda url: urlsplit(url).path == "/a", apart)
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#ack")).to_be_visible()
    # Chromium keeps a page of one local address from the sockets of another: no map is waited for.
    inner = phone.frame_locator("#map iframe")
    await expect(inner.locator("#box")).to_be_visible(timeout=PATIENCE_MS)
    await expect(inner.locator("#ack")).to_be_hidden()
    await expect(inner.locator("#maps")).to_be_hidden()


async def test_nothing_but_the_map_waits_for_the_map(server: Server, phone: Page) -> None:
    async def drop(route: Route) -> None:
        await route.abort()

    await phone.route("**/pages/**", drop)
    await phone.route("**/socket.io/**", drop)
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await phone.locator("#ack").click()
    await expect(phone.locator("#status")).to_contain_text("You are on it")
    await expect(phone.locator("#emergency")).to_have_attribute("href", "tel:112")
    await expect(phone.locator("#maps")).to_be_visible()


async def test_the_emergency_number_is_that_of_the_place(server: Server, phone: Page) -> None:
    _, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#emergency")).to_have_attribute("href", "tel:999")
    await expect(phone.locator("#emergency")).to_contain_text("Call 999")


async def test_the_driver_can_be_called_unless_the_alert_is_silent(server: Server, phone: Page) -> None:
    for silent in (False, True):
        driver = f"d-{uuid4()}"
        raw = await server.driver(driver)
        await driver_settings.set_profile(server.db, "t1", driver, Profile("Ada Byrne", "+4915112345678"))
        ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "silent": silent})
        await phone.goto("about:blank")
        await phone.goto(f"{server.url}/a#{token(server, ack['alert_id'])}")
        await phone.locator("#ack").wait_for()
        if silent:
            await expect(phone.locator("#call")).to_be_hidden()
        else:
            await expect(phone.locator("#call")).to_have_attribute("href", "tel:+4915112345678")
            await expect(phone.locator("#call")).to_have_text("Call Ada Byrne")


async def test_who_comes_says_when_and_the_end_is_shown_after_a_reload(server: Server, phone: Page) -> None:
    alert_id, link = await raised(server)
    await post(server, "/answers/act", {"token": token(server, alert_id, "Mia"), "act": "ack"})
    await post(
        server, "/answers/act", {"token": token(server, alert_id, "Leo"), "act": "coming", "eta_s": 600}
    )
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#coming")).to_contain_text("Leo, ")
    await expect(phone.locator("#coming")).to_contain_text("(10 min)")
    await phone.locator("#ack").click()
    await phone.get_by_role("button", name="20 min").click()
    await expect(phone.locator("#status")).to_contain_text("You are on it too")
    await post(server, "/answers/act", {"token": token(server, alert_id, "Mia"), "act": "over"})
    await expect(phone.locator("#ended")).to_contain_text("Mia said at ", timeout=PATIENCE_MS)
    await phone.reload()
    await expect(phone.locator("#ended")).to_contain_text("that it is over")
    await expect(phone.locator("#ack")).to_be_hidden()


async def test_who_is_on_it_may_say_that_it_is_over(server: Server, phone: Page) -> None:
    alert_id, link = await raised(server)
    await phone.goto(f"{server.url}/a#{link}")
    await expect(phone.locator("#over")).to_be_hidden()
    await phone.locator("#ack").click()
    phone.on("dialog", lambda dialog: dialog.accept())
    await phone.locator("#over").click()
    await expect(phone.locator("#ended")).to_contain_text("You said at ")
    case: Any = await server.instance.alerts.intake.case(UUID(alert_id))
    assert case.alert.state == "resolved"


async def test_opening_a_link_in_a_browser_changes_nothing(server: Server, phone: Page) -> None:
    alert_id, link = await raised(server)
    before: Any = await server.instance.alerts.intake.case(UUID(alert_id))
    for _ in range(3):
        await phone.goto("about:blank")
        await phone.goto(f"{server.url}/a#{link}")
        await phone.locator("#map canvas").wait_for()
    after: Any = await server.instance.alerts.intake.case(UUID(alert_id))
    assert after.alert == before.alert
