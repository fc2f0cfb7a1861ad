"""An SOS on the running cluster, answered from the contact's real page: the driver's phone hears by whom."""

import re
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser
from socketio import AsyncClient

from tests.e2e.cluster import until
from tests.e2e.world import World, now_ms
from tests.pages.conftest import browser, few_frames_context, open_tab, pages_built

__all__ = ["browser", "pages_built"]  # fixtures, found by their names here


async def test_a_contact_takes_an_sos_and_the_drivers_phone_hears_who_it_is(
    world: World, browser: Browser, pages_built: None
) -> None:
    phone = AsyncClient(reconnection=False)
    updates: list[dict[str, Any]] = []
    phone.on("sos:update", updates.append, namespace="/driver")
    auth = {"token": world.token("driver", "ada")}
    await phone.connect(world.cluster.url, auth=auth, namespaces=["/driver"], wait_timeout=20)
    try:

        async def ask(event: str, **payload: Any) -> Any:
            answer = await phone.call(event, payload, namespace="/driver", timeout=30)
            assert answer["ok"], answer
            return answer

        given = {"destination": {"name": "Pier Head"}, "started_at": now_ms()}
        journey = (await ask("journey:start", client_journey_id=str(uuid4()), **given))["journey_id"]
        point = [1, now_ms(), 53.4084, -2.9916, 8.5, 90, 5, None, 64]
        await ask("positions", journey_id=journey, points=[point])
        number = {"name": "Ada", "phone": "+442079460958"}
        await world.call("PUT", "/api/v1/drivers/ada/profile", json=number)
        wish = {"scope": "journey", "expires_in_s": 600, "may_answer": True, "name": "Mum"}
        link = await world.call("POST", f"/api/v1/journeys/{journey}/shares", json=wish)

        phone_screen = {"width": 390, "height": 844}
        context = await few_frames_context(
            browser, viewport=phone_screen, has_touch=True, is_mobile=True, locale="en-GB"
        )
        tab = await open_tab(context, world.cluster.url)
        await tab.page.goto(link["url"])
        await tab.until("s.connection === 'live' && s.map_ready && s.drivers.ada", timeout_s=60.0)
        await tab.until("s.presence?.state === 'online'", timeout_s=60.0)
        await tab.page.get_by_role("heading", name="Ada").wait_for()
        await tab.page.get_by_text("Pier Head").wait_for()

        sos = await ask("sos", sos_id=str(uuid4()), pressed_at=now_ms(), journey_id=journey, message="help")
        await tab.page.get_by_role("heading", name=re.compile("Ada.? needs help")).wait_for(timeout=60_000)
        await tab.page.locator("a[href='tel:999']").wait_for(timeout=60_000)
        await tab.page.locator("a[href='tel:+442079460958']").wait_for()
        await tab.page.get_by_role("button", name="I’m on it", exact=True).tap()
        await until(lambda: any(one["acknowledged_by"] == "Mum" for one in updates), "the phone hears who")
        assert updates[-1]["alert_id"] == sos["alert_id"]
        await tab.page.get_by_role("button", name="10 min").tap()
        await until(lambda: ["Mum", 600] in updates[-1]["responders"], "the phone hears when")

        # The instance that the page hangs on dies: the alert is there again by itself.
        connections = (await tab.state())["connections"]
        cluster = world.cluster
        serving = [
            name
            for name in cluster.instances
            if await cluster.metric(name, "wayguard_connections", namespace="/watch")
        ]
        assert serving
        for name in serving:
            await cluster.kill(name)
            await cluster.until_up(name)
        await tab.until("s.connections > a && s.connection === 'live'", connections, timeout_s=60.0)
        await tab.page.get_by_role("button", name="It is over").tap()
        await tab.page.get_by_role("button", name="Yes, they are safe").tap()
        await tab.page.get_by_text("You said that it is over").wait_for(timeout=60_000)
        alert = await world.call("GET", f"/api/v1/alerts/{sos['alert_id']}")
        assert alert["alert"]["state"] == "resolved"
        by = [
            (line["by_name"], line["what"])
            for line in alert["history"]
            if line["by_id"] == f"share:{link['id']}"
        ]
        assert by and {name for name, _ in by} == {"Mum"}
        assert tab.outside == []
        await context.close()
    finally:
        await phone.disconnect()
