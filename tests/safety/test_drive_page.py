"""A driver's settings page on a running instance with a real mail server: contacts, a test message, PINs."""

import re

from playwright.async_api import Browser

from tests.pages.conftest import browser, open_tab, pages_built
from tests.pages.test_drive import SOS, held
from tests.pages.test_drive_settings import button, fill, said, settings
from tests.safety import test_people
from tests.safety.test_people import World

__all__ = ["browser", "pages_built"]  # fixtures, found by their names here
world = test_people.world


def text_of(world: World) -> str:
    """The text of the last mail."""
    body = world.mail.mails[-1].message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_a_driver_sets_contacts_and_pins_and_a_duress_pin_looks_like_the_right_one(
    world: World, browser: Browser, pages_built: None
) -> None:
    url, token = world.api.url, world.api.token("driver", ["north"], driver="d1")
    context = await browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    await context.grant_permissions(["geolocation"], origin=url)
    await context.set_geolocation({"latitude": 53.4, "longitude": -2.99, "accuracy": 8})
    tab = await open_tab(context, url)
    await tab.page.goto(f"{url}/drive#token={token}")
    await tab.page.get_by_role("button", name="Pair", exact=True).click()
    await tab.until("s.screen === 'home' && s.line === 'live' && s.own.pin === false")
    # A contact is notified once the code of a real mail was typed in.
    await settings(tab, "Emergency contacts")
    await button(tab, "Add a contact").click()
    await fill(tab, Name="Ana")
    await tab.page.get_by_label("E-mail").fill("not an address")
    await button(tab, "Save contact").click()
    await said(tab, "This e-mail address cannot be used.")
    await tab.page.get_by_label("E-mail").fill("ana@example.org")
    await tab.page.locator("#page").get_by_label("Phone").fill("12")
    await button(tab, "Save contact").click()
    await said(tab, "This number cannot be used.")
    await tab.page.locator("#page").get_by_label("Phone").fill("")
    await tab.page.get_by_label("Language of the messages").select_option("de")
    await button(tab, "Save contact").click()
    await button(tab, "Send a code by e-mail").click()
    await said(tab, "The code is on its way.")
    code = re.search(r"\b[0-9]{6}\b", text_of(world))
    assert code is not None
    await fill(tab, Code=code[0])
    await button(tab, "Verify").click()
    await said(tab, "Verified. This contact is notified")
    await button(tab, "Send a test by e-mail").click()
    await said(tab, "The test is on its way.")
    assert text_of(world).startswith("TEST. d1 ")
    assert world.mail.mails[-1].recipients == ("ana@example.org",)
    await button(tab, "Send a test by e-mail").click()
    await said(tab, "The test is on its way.")
    await button(tab, "Send a test by e-mail").click()
    await said(tab, "Too many tries.")
    await button(tab, "Back").click()
    await button(tab, "Back").click()
    await button(tab, re.compile("^Who is notified")).click()
    for text in ("At once", "Ana", "your dispatchers", "live page", "This is done"):
        await tab.page.locator(".settings").get_by_text(text).first.wait_for()
    # PINs: a change needs the one in force, and the duress PIN seems to change it.
    await button(tab, "Back").click()
    await button(tab, re.compile("^PIN to cancel")).click()
    await fill(tab, New_PIN="2580", New_PIN_again="2580", Duress_PIN="7391", Duress_PIN_again="7391")
    await button(tab, "Save").click()
    await said(tab, "A PIN is set.")
    await fill(tab, PIN_now="9999", New_PIN="1379", New_PIN_again="1379")
    await button(tab, "Save").click()
    await said(tab, "The PIN now is wrong.")
    await fill(tab, PIN_now="7391")
    await button(tab, "Save").click()
    await said(tab, "Saved.")
    # The PIN that was chosen so looks right, and the alert goes on.
    await held(tab, SOS)
    await tab.until("s.sos?.shown === 'active'", timeout_s=30.0)
    for pin, heard in (("7391", "This PIN is wrong."), ("1379", "Cancelled")):
        await fill(tab, PIN=pin)
        await button(tab, "Cancel SOS").click()
        await said(tab, heard)
    admin = world.api.token("admin")
    (alert,) = (await world.api.get("/api/v1/alerts", admin)).json["alerts"]
    assert (alert["state"], alert["duress"]) == ("active", True)
    (shown,) = (await world.api.get("/api/v1/alerts", token)).json["alerts"]
    assert (shown["state"], shown["duress"], shown["silent"]) == ("cancelled", False, False)
    await context.close()
