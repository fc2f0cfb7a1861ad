"""A driver's own settings on `/drive`, how an SOS is cancelled, and what is said before a journey."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.pages import test_drive
from tests.pages.conftest import Tab, open_tab
from tests.pages.fake import refusal, until
from tests.pages.fake_driver import FakeDriverServer, token
from tests.pages.fake_own import CODE
from tests.pages.test_drive import SOS, driving, held, no_network, paired, phone_context, without_faults

driver_server, phone = test_drive.driver_server, test_drive.phone

HOLD = "Cancel SOS Press and hold"


async def settings(tab: Tab, row: str) -> None:
    """Opens a page of the settings by the menu."""
    await tab.page.get_by_role("button", name="Settings").click()
    await tab.page.locator("dialog.menu").get_by_role("button", name=row).click()
    await tab.until("s.screen === 'settings' && s.own.reached")


async def fill(tab: Tab, **fields: str) -> None:
    for label, text in fields.items():
        await tab.page.locator("#page").get_by_label(label.replace("_", " "), exact=True).fill(text)


def button(tab: Tab, name: str | re.Pattern[str]) -> Locator:
    return tab.page.locator("#page").get_by_role("button", name=name)


def mover(tab: Tab, name: str, way: str) -> Locator:
    """The button that moves a contact; names are isolated from the sentence around them."""
    return button(tab, re.compile(f"^Move .?{name}.? {way}$"))


async def said(tab: Tab, text: str) -> None:
    await tab.page.get_by_text(text).first.wait_for()


# --- cancelling


async def test_without_a_pin_an_sos_is_cancelled_only_by_a_hold_and_a_yes(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.pin = None
    await driving(phone, driver_server)
    await phone.until("s.own.pin === false")
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'active'")
    assert (
        await phone.page.get_by_label("PIN", exact=True).count() == 0
        or not await phone.page.get_by_label("PIN", exact=True).is_visible()
    )
    await held(phone, HOLD, ms=300)
    await phone.page.wait_for_timeout(300)
    assert driver_server.cancels == [], "a tap ends nothing"
    assert await phone.page.get_by_role("dialog").count() == 0
    await held(phone, HOLD)
    await phone.page.get_by_role("heading", name="Cancel this SOS?").wait_for()
    assert await phone.page.evaluate("document.activeElement.textContent") == "Keep it"
    await phone.page.get_by_role("button", name="Keep it").click()
    assert driver_server.cancels == []
    await held(phone, HOLD)
    await phone.page.get_by_role("dialog").get_by_role("button", name="Cancel SOS").click()
    await phone.page.get_by_role("heading", name="Cancelled").wait_for()
    assert driver_server.cancels == [""]


async def test_with_a_pin_an_empty_one_is_not_sent_and_no_hold_is_offered(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    await driving(phone, driver_server)
    await phone.until("s.own.pin === true")
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'active'")
    assert not await button(phone, HOLD).is_visible()
    await button(phone, "Cancel SOS").click()
    await said(phone, "Type your PIN.")
    await phone.page.keyboard.press("Enter")
    await phone.page.wait_for_timeout(200)
    assert driver_server.cancels == []
    await fill(phone, PIN="1234")
    await button(phone, "Cancel SOS").click()
    await phone.page.get_by_role("heading", name="Cancelled").wait_for()
    assert driver_server.cancels == ["1234"]


async def test_where_it_is_not_known_whether_there_is_a_pin_the_server_decides(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.away = True
    await driving(phone, driver_server)
    await phone.until("s.own.pin === null")
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'active'")
    await button(phone, HOLD).evaluate("(element) => element.click()")  # a screen reader's
    await phone.page.get_by_role("dialog").get_by_role("button", name="Cancel SOS").click()
    await said(phone, "Type your PIN.")
    assert driver_server.cancels == [""]
    await expect(button(phone, HOLD)).to_be_hidden()
    await fill(phone, PIN="1234")
    await button(phone, re.compile("^Cancel SOS$")).click()
    await phone.page.get_by_role("heading", name="Cancelled").wait_for()


async def test_a_countdown_without_a_pin_says_how_it_is_stopped(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.pin = None
    await driving(phone, driver_server)
    await phone.until("s.own.pin === false")
    until_ms = await phone.page.evaluate("Date.now() + 60000")
    driver_server.state_of_new = {"state": "pending", "pending_until": until_ms}
    await held(phone, SOS)
    await said(phone, "Hold the button below to stop it.")


# --- PINs


async def test_both_pins_are_set_after_pairing_and_never_shown(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.pin = None
    driver_server.pairings["CODE-123"] = token()
    await phone.page.goto(f"{driver_server.url}/drive#pair=CODE-123")
    await phone.page.get_by_role("button", name="Pair", exact=True).click()
    await phone.page.get_by_role("heading", name="Set up your safety").wait_for()
    await said(phone, "Not set: anyone with this phone can cancel your SOS")
    await phone.page.reload()
    await phone.page.get_by_role("heading", name="Set up your safety").wait_for()
    await button(phone, re.compile("^PIN to cancel")).click()
    await said(phone, "For when somebody forces you to cancel.")
    await fill(phone, New_PIN="2580", New_PIN_again="2580", Duress_PIN="7391", Duress_PIN_again="7391")
    await button(phone, "Save").click()
    await said(phone, "Saved.")
    assert (driver_server.own.pin, driver_server.own.duress) == ("2580", "7391")
    text = await phone.page.evaluate(
        "document.body.innerText + [...document.querySelectorAll('input')].map((i) => i.value).join()"
    )
    assert "2580" not in text and "7391" not in text
    types = await phone.page.locator("#page input").evaluate_all("(all) => all.map((one) => one.type)")
    assert set(types) == {"password"}
    kept = await phone.page.evaluate(ALL_KEPT)
    assert "2580" not in kept and "7391" not in kept and "duress" not in kept.lower()
    await button(phone, "Back").click()
    await said(phone, "Emergency contacts")
    await button(phone, "Later").click()
    await phone.until("s.screen === 'home'")
    await phone.page.reload()
    await phone.until("s.screen === 'home' && s.own.pin === true")


async def test_pins_and_codes_in_digits_of_other_scripts_are_sent_in_ascii(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.contact("Mum", "+447700900123", verified=False)
    await paired(phone, driver_server)
    await settings(phone, "PIN to cancel")
    await fill(phone, PIN_now="\u0661\u0662\u0663\u0664")
    await fill(phone, New_PIN="\u0662\u0665\u0668\u0660", New_PIN_again="2580")
    await fill(phone, Duress_PIN="\u096d\u0969\u096f\u0967", Duress_PIN_again="\uff17\uff13\uff19\uff11")
    await button(phone, "Save").click()
    await said(phone, "Saved.")
    assert (driver_server.own.pin, driver_server.own.duress) == ("2580", "7391")
    await button(phone, "Back").click()
    await button(phone, re.compile("^Emergency contacts")).click()
    await button(phone, re.compile("Mum")).click()
    await phone.page.locator("#page").get_by_label("Phone").fill("\u200e\uff0b\u0664\u0664 7700 900124")
    await button(phone, "Save contact").click()
    await said(phone, "Now send a code")
    assert driver_server.own.asked[-1][2] == {"phone": "+44 7700 900124"}
    await button(phone, "Send a code by text").click()
    await fill(phone, Code="\u06f0\u06f4\u06f2 \u06f1\u06f1\u06f7")
    await button(phone, "Verify").click()
    await said(phone, "Verified.")
    assert driver_server.own.asked[-1][2] == {"channel": "sms", "code": CODE}


ALL_KEPT = """async () => {
  const answer = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await answer(indexedDB.open("wayguard-drive"));
  const names = [...db.objectStoreNames];
  const all = db.transaction(names);
  const found = await Promise.all(names.map((name) => answer(all.objectStore(name).getAll())));
  db.close();
  return JSON.stringify(found) + JSON.stringify({ ...localStorage });
}"""


async def test_what_is_seen_after_saving_is_the_same_with_a_duress_pin_and_without(
    browser: Browser,
    driver_server: FakeDriverServer,
) -> None:
    seen = []
    for duress in ("7391", ""):
        driver_server.own.pin = "1357"
        context = await phone_context(browser, driver_server)
        tab = await open_tab(context, driver_server.url)
        await paired(tab, driver_server)
        await settings(tab, "PIN to cancel")
        await said(tab, "A PIN is set.")
        await fill(tab, PIN_now="1357", New_PIN="2580", New_PIN_again="2580")
        await fill(tab, Duress_PIN=duress, Duress_PIN_again=duress)
        await button(tab, "Save").click()
        await said(tab, "Saved.")
        await tab.page.wait_for_timeout(200)
        seen.append(
            await tab.page.evaluate("document.querySelector('#page').innerHTML.replace(/field-\\d+/g, '')")
        )
        await context.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("new", "again", "duress", "duress_again", "fault"),
    [
        ("123", "123", "", "", "A PIN has 4 to 8 digits."),
        ("25a0", "25a0", "", "", "A PIN has 4 to 8 digits."),
        ("", "", "", "", "A PIN has 4 to 8 digits."),
        ("٢٥½٠", "٢٥½٠", "", "", "A PIN has 4 to 8 digits."),
        ("2580", "2580", "٢٥٨٠", "٢٥٨٠", "The duress PIN must differ from your PIN."),
        ("0000", "0000", "", "", "too easy to guess"),
        ("1234", "1234", "", "", "too easy to guess"),
        ("9876", "9876", "", "", "too easy to guess"),
        ("2580", "2581", "", "", "The two are not the same."),
        ("2580", "2580", "2580", "2580", "The duress PIN must differ from your PIN."),
        ("2580", "2580", "2589", "2589", "in one digit only"),
        ("2580", "2580", "7391", "", "The two are not the same."),
        ("2580", "2580", "", "7391", "A PIN has 4 to 8 digits."),
        ("2580", "2580", "1111", "1111", "too easy to guess"),
    ],
)
async def test_pins_that_will_not_do_are_not_sent(
    phone: Tab,
    driver_server: FakeDriverServer,
    new: str,
    again: str,
    duress: str,
    duress_again: str,
    fault: str,
) -> None:
    driver_server.own.pin = None
    await paired(phone, driver_server)
    await settings(phone, "PIN to cancel")
    await fill(phone, New_PIN=new, New_PIN_again=again, Duress_PIN=duress, Duress_PIN_again=duress_again)
    await button(phone, "Save").click()
    await said(phone, fault)
    assert driver_server.own.asked == []


async def test_a_pin_is_changed_and_removed_only_with_the_old_one(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    await paired(phone, driver_server)
    await settings(phone, "PIN to cancel")
    await fill(phone, New_PIN="2580", New_PIN_again="2580")
    await button(phone, "Save").click()
    await said(phone, "Type the PIN that you have now.")
    await fill(phone, PIN_now="9999")
    await button(phone, "Save").click()
    await said(phone, "The PIN now is wrong.")
    assert driver_server.own.pin == "1234"
    await fill(phone, PIN_now="1234")
    await button(phone, "Save").click()
    await said(phone, "Saved.")
    await fill(phone, PIN_now="2580")
    await button(phone, "Remove the PIN").click()
    await phone.page.get_by_role("button", name="Keep it").click()
    assert driver_server.own.pin == "2580"
    await button(phone, "Remove the PIN").click()
    await phone.page.get_by_role("button", name="Remove it").click()
    await said(phone, "No PIN is set.")
    assert driver_server.own.pin is None
    driver_server.own.refuse["/pins"] = refusal("rate_limited", "x") | {"retry_after_s": 1_800}
    await fill(phone, New_PIN="2580", New_PIN_again="2580")
    await button(phone, "Save").click()
    await said(phone, "Too many tries. Try again in")


# --- contacts


async def test_a_contact_is_added_verified_tested_and_deleted(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    await paired(phone, driver_server)
    await said(phone, "No person would be reached by a message.")
    await button(phone, "Add a contact").click()
    await said(phone, "You have no contacts of your own yet.")
    await button(phone, "Add a contact").click()
    await button(phone, "Save contact").click()
    await said(phone, "Give a name.")
    await fill(phone, Name="Mum")
    await button(phone, "Save contact").click()
    await said(phone, "Give a phone number or an e-mail address.")
    await phone.page.locator("#page").get_by_label("Phone").fill("07700 900123")
    await button(phone, "Save contact").click()
    await said(phone, "This number cannot be used.")
    await phone.page.locator("#page").get_by_label("Phone").fill("+447700900123")
    await phone.page.get_by_label("Language of the messages").select_option("es")
    await button(phone, "Save contact").click()
    await said(phone, "Now send a code")
    added = [
        body
        for method, path, body in driver_server.own.asked
        if (method, path) == ("POST", "/api/v1/contacts")
    ]
    assert added[-1] == {"name": "Mum", "phone": "+447700900123", "email": None, "language": "es"}
    await said(phone, "Not verified: not notified yet")
    assert await button(phone, re.compile("test")).count() == 0, "no test goes to what does not count"
    await button(phone, "Send a code by text").click()
    await said(phone, "The code is on its way.")
    await fill(phone, Code="000000")
    await button(phone, "Verify").click()
    await said(phone, "This code is wrong or too old.")
    await fill(phone, Code=f"{CODE[:3]} {CODE[3:]}"[:6])
    await fill(phone, Code=CODE)
    await button(phone, "Verify").click()
    await said(phone, "Verified. This contact is notified from now on.")
    await button(phone, "Send a test by text").click()
    await said(phone, "The test is on its way.")
    contact_id = driver_server.own.contacts[0]["contact_id"]
    assert driver_server.own.asked[-1] == ("POST", f"/api/v1/contacts/{contact_id}/test", {"channel": "sms"})
    driver_server.own.refuse["/test"] = refusal("rate_limited", "x") | {"retry_after_s": 600}
    await button(phone, "Send a test by text").click()
    await said(phone, "Too many tries. Try again in")
    await button(phone, "Delete contact").click()
    await phone.page.get_by_role("button", name="Keep", exact=True).click()
    assert len(driver_server.own.contacts) == 1
    await button(phone, "Delete contact").click()
    await phone.page.get_by_role("button", name="Delete", exact=True).click()
    await said(phone, "You have no contacts of your own yet.")
    assert driver_server.own.contacts == []


async def test_contacts_are_ordered_by_buttons_that_keep_the_focus(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    for name in ("Ana", "Bo", "Cy"):
        driver_server.own.contact(name, "+447700900123")
    await paired(phone, driver_server)
    await settings(phone, "Emergency contacts")

    async def names() -> list[str]:
        return await phone.page.locator(".contacts b").all_inner_texts()

    assert await names() == ["Ana", "Bo", "Cy"]
    assert await mover(phone, "Ana", "up").is_disabled()
    assert await mover(phone, "Cy", "down").is_disabled()
    await mover(phone, "Cy", "up").focus()
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.locator(".contacts b")).to_have_text(["Ana", "Cy", "Bo"])
    label = "document.activeElement.getAttribute('aria-label').replace(/[\\u2066-\\u2069]/g, '')"
    assert await phone.page.evaluate(label) == "Move Cy up"
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.locator(".contacts b")).to_have_text(["Cy", "Ana", "Bo"])
    assert await phone.page.evaluate(label) == "Move Cy down", "at the end the other one has the focus"
    await said(phone, "is number 1 now.")
    # Somebody else added one meanwhile: nothing is lost, and the list is read again.
    driver_server.own.contact("Di", "+447700900124")
    await mover(phone, "Bo", "up").click()
    await said(phone, "The contacts were changed elsewhere meanwhile.")
    await expect(phone.page.locator(".contacts b")).to_have_text(["Cy", "Ana", "Bo", "Di"])


async def test_an_edit_names_only_what_changes_so_that_an_address_stays_verified(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.contact("Ana <b>x</b>\u202e", "+447700900123", "ana@example.org")
    await paired(phone, driver_server)
    await settings(phone, "Emergency contacts")
    await said(phone, "Ana <b>x</b>")
    await phone.page.locator(".contacts .row").click()
    await fill(phone, Name="Ana")
    await button(phone, "Save contact").click()
    await said(phone, "Saved.")
    assert driver_server.own.asked[-1][2] == {"name": "Ana"}
    assert await phone.page.get_by_text("Verified", exact=True).count() == 2


async def test_settings_without_a_network_show_what_was_and_say_that_nothing_changed(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.contact("Ana", "+447700900123")
    await paired(phone, driver_server)
    await phone.until("s.own.contacts === 1")
    await phone.page.evaluate("navigator.serviceWorker.ready")
    async with no_network(phone, driver_server):
        await phone.page.reload()
        await phone.until("s.screen === 'home'")
        await phone.page.get_by_role("button", name="Settings").click()
        await phone.page.locator("dialog.menu").get_by_role("button", name="Emergency contacts").click()
        await said(phone, "Ana")
        await said(phone, "No connection. This is how it was at")
        await phone.page.locator(".contacts .row").click()
        await button(phone, "Send a test by text").click()
        await said(phone, "No connection. Nothing was changed")
        # An SOS is one press away from here too.
        await held(phone, SOS)
        await phone.page.get_by_role("heading", name="Not sent yet").wait_for()
    await phone.until("s.sos?.shown === 'active'")
    assert driver_server.own.asked == []


async def test_the_phones_way_back_leads_page_by_page_out_of_the_settings_and_not_out_of_the_app(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    driver_server.own.contact("Ana", "+447700900123")
    await paired(phone, driver_server)
    await settings(phone, "Emergency contacts")
    await phone.page.locator(".contacts .row").click()
    for place in ("contacts", "index"):
        await phone.page.evaluate("history.back()")
        await phone.until("s.settings === a", place)
    await phone.page.evaluate("history.back()")
    await phone.until("s.screen === 'home'")
    await settings(phone, "PIN to cancel")
    await button(phone, "Back").click()
    await button(phone, "Back").click()
    await phone.until("s.screen === 'home'")
    assert phone.page.url == f"{driver_server.url}/drive"


async def test_a_silent_sos_in_the_settings_shows_only_its_note_and_a_loud_one_takes_the_screen(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await paired(phone, driver_server)
    await settings(phone, "PIN to cancel")
    await held(phone, "Silent SOS Press and hold")
    await phone.until("s.sos?.shown === 'active'")
    assert (await phone.state())["screen"] == "settings"
    await button(phone, "Note sent").wait_for()
    await driver_server.tell(state="resolved")
    await phone.until("s.sos === null")
    await held(phone, SOS)
    await phone.page.get_by_role("heading", name="SOS sent").wait_for()


async def test_what_was_changed_elsewhere_is_said_and_read_again(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    driver_server.own.contact("Ana", "+447700900123")
    await paired(phone, driver_server)
    await settings(phone, "Emergency contacts")
    await phone.page.locator(".contacts .row").click()
    driver_server.own.contacts.clear()
    await fill(phone, Name="Bo")
    await button(phone, "Save contact").click()
    await said(phone, "This is not there any more.")
    await button(phone, "Back").click()
    await said(phone, "You have no contacts of your own yet.")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("revoked", "Access was withdrawn."),
        ("token_expired", "Access has ended."),
        ("overloaded", "Too much at once."),
        ("rate_limited", "Too many tries."),
        ("unavailable", "Nothing was changed"),
        ("internal", "The server did not accept this."),
        ("nonsense", "The server did not accept this."),
        ("invalid", "This e-mail address cannot be used."),
        ("conflict", "This contact is there already"),
    ],
)
async def test_each_refusal_of_a_contact_has_its_words(
    phone: Tab, driver_server: FakeDriverServer, code: str, text: str
) -> None:
    await paired(phone, driver_server)
    await settings(phone, "Emergency contacts")
    await button(phone, "Add a contact").click()
    await fill(phone, Name="Ana")
    await phone.page.get_by_label("E-mail").fill("ana@example.org")
    driver_server.own.refuse["/contacts"] = refusal(code, "email is no address") | {"retry_after_s": 60}
    await button(phone, "Save contact").click()
    await phone.page.locator("form .answer").get_by_text(text).wait_for()
    assert driver_server.own.contacts == []


# --- who is notified, and what is said before


async def test_who_is_notified_and_when_is_shown_step_by_step(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.contact("Ana", "+447700900123")
    driver_server.own.contact("Bo", "+447700900124", verified=False)
    await paired(phone, driver_server)
    await settings(phone, "Who is notified")
    text = (await phone.page.locator("#page").inner_text()).replace("\u2068", "").replace("\u2069", "")
    for part in (
        "At once", "Ana", "by text – if that fails, by call", "your dispatchers", "by live page",
        "After 45 sec", "This is done 3 times", "Not notified", "Bo", "The address is not",
    ):  # fmt: skip
        assert part in text, text
    await phone.page.get_by_label("When").select_option("check_in_missed")
    await said(phone, "At once")


async def test_timers_name_who_is_notified_before_and_on_the_journey(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    driver_server.own.contact("Ana", "+447700900123")
    await paired(phone, driver_server)
    await phone.until("s.own.contacts === 1")
    await phone.page.get_by_label("Check in").select_option("900")
    await phone.page.get_by_label("Arrive by").fill("23:59")
    for text in ("If you have not arrived by then:", "If you miss a check-in:"):
        line = phone.page.get_by_text(text)
        await line.wait_for()
        assert "Ana" in await line.inner_text()
        assert "your dispatchers" in await line.inner_text()
    await button(phone, "Start journey").click()
    await phone.until("s.screen === 'going'")
    for text in ("If you have not arrived by then:", "If you miss a check-in:"):
        line = phone.page.get_by_text(text)
        await line.wait_for()
        assert "Ana" in await line.inner_text()


async def test_timers_say_when_no_person_would_be_notified(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    await paired(phone, driver_server)
    await phone.page.get_by_label("Check in").select_option("900")
    await phone.page.locator(".who-is:not([hidden])").get_by_text("No person would be").wait_for()


async def test_a_denied_location_is_said_before_the_journey_and_a_start_is_asked(
    browser: Browser,
    driver_server: FakeDriverServer,
) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    tab = await open_tab(context, driver_server.url)
    await context.grant_permissions([], origin=driver_server.url)  # all others are denied
    await paired(tab, driver_server)
    await tab.until("s.permission === 'denied'")
    await said(tab, "This phone does not tell where it is.")
    assert driver_server.journeys == {}
    await button(tab, "Start journey").click()
    await tab.page.get_by_role("heading", name="Start without a location?").wait_for()
    await tab.page.get_by_role("button", name="Not now").click()
    assert (await tab.state())["screen"] == "home"
    await button(tab, "Start journey").click()
    await tab.page.get_by_role("button", name="Start anyway").click()
    await tab.until("s.screen === 'going'")
    await context.close()


async def test_a_browser_that_will_ask_for_the_location_says_so_before(
    browser: Browser,
    driver_server: FakeDriverServer,
) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    tab = await open_tab(context, driver_server.url)
    await tab.page.add_init_script(PROMPTS)
    await paired(tab, driver_server)
    await said(tab, "When you start, your browser asks")
    await context.close()


PROMPTS = """
  const query = navigator.permissions.query.bind(navigator.permissions);
  navigator.permissions.query = async (what) => {
    const status = await query(what);
    Object.defineProperty(status, "state", { value: "prompt" });
    return status;
  };
"""

FIXED_TIME = """
  const at = Date.now() - 1_000;
  const unknown = { speed: null, heading: null, altitude: null };
  const coords = { latitude: 53.4084, longitude: -2.9916, accuracy: 8, ...unknown };
  const position = { coords, timestamp: at };
  let id = 0;
  const fake = {
    watchPosition(heard) { setTimeout(() => heard(position), 10); return ++id; },
    clearWatch() {},
    getCurrentPosition(heard) { setTimeout(() => heard(position), 10); },
  };
  Object.defineProperty(navigator, "geolocation", { value: fake });
"""


async def test_a_phone_that_stands_still_with_a_fixed_gps_time_reports_every_30_s(
    browser: Browser,
    driver_server: FakeDriverServer,
) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    tab = await open_tab(context, driver_server.url)
    await tab.page.clock.install()
    await tab.page.add_init_script(FIXED_TIME)
    await paired(tab, driver_server)
    await button(tab, "Start journey").click()
    await tab.until("s.points >= 1")
    started_ms = await tab.page.evaluate("Date.now()")
    for _ in range(40):
        await tab.page.clock.run_for(5_000)
        await asyncio.sleep(0.02)
    await until(lambda: len(driver_server.journeys) == 1)
    state = await tab.state()
    passed_s = (await tab.page.evaluate("Date.now()") - started_ms) / 1_000
    assert state["points"] >= passed_s / 45 - 1, (state, passed_s)
    assert state["points"] <= passed_s / 25 + 2, (state, passed_s)
    await context.close()


# --- how it looks


@pytest.mark.parametrize(("locale", "schemes"), [("en-GB", ("light", "dark")), ("ar-EG", ("light",))])
@pytest.mark.parametrize("viewport", [{"width": 390, "height": 844}, {"width": 360, "height": 640}])
async def test_settings_have_no_faults_of_access_and_fit_a_phone(
    browser: Browser,
    driver_server: FakeDriverServer,
    locale: str,
    schemes: tuple[str, ...],
    viewport: dict[str, int],
) -> None:
    own = driver_server.own
    own.pin = None
    own.contact(
        "Maximiliana Oberhuber-Winterstein von und zu",
        "+447700900123",
        "a.very.long.address@mail.example.org",
    )
    own.contact("Bo", "+447700900124", verified=False)
    driver_server.pairings["CODE-123"] = token()
    context = await phone_context(browser, driver_server, locale=locale, bypass_csp=True, viewport=viewport)
    tab = await open_tab(context, driver_server.url)
    await tab.page.goto(f"{driver_server.url}/drive#pair=CODE-123")
    await tab.page.locator("form.start button[type=submit]").click()
    await tab.until("s.settings === 'index' && s.own.contacts === 2")
    rows = tab.page.locator(".settings .rows .row")
    for index in range(3):
        await looked_over(tab, schemes)
        await rows.nth(index).click()
        await looked_over(tab, schemes)
        if index == 1:
            for one in range(2):
                await tab.page.locator(".contacts .row").nth(one).click()
                await tab.until("s.settings === 'contact'")
                await looked_over(tab, schemes)
                await tab.page.locator(".settings .back").click()
        await tab.page.locator(".settings .back").click()
    await tab.page.locator(".settings .index > .big").click()
    await tab.until("s.screen === 'home'")
    await tab.page.locator(".hold.loud").evaluate("(element) => element.click()")
    await tab.page.locator("dialog.asked .big").first.click()
    await tab.until("s.sos?.shown === 'active'")
    await looked_over(tab, schemes)
    await context.close()


async def looked_over(tab: Tab, schemes: tuple[str, ...]) -> None:
    await without_faults(tab, schemes)
    await tab.page.emulate_media(color_scheme="light")
    wide = await tab.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0, "it scrolls sideways"
    small = await tab.page.evaluate(SMALL_TARGETS)
    assert small == []


SMALL_TARGETS = """() => ["button", "summary", "select", "input"]
  .flatMap((name) => [...document.querySelectorAll(`#page ${name}, footer ${name}`)])
  .filter((one) => one.checkVisibility())
  .map((one) => [one.textContent.slice(0, 20) || one.type, one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([name, box]) => [name, box.width, box.height])"""
