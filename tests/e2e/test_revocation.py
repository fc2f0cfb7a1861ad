"""What was revoked is closed within seconds, wherever it is connected, with Redis down too."""

from uuid import uuid4

from realtime.auth.tokens import Authenticator
from tests.e2e.clients import Rejected, drive, journey_of, knock
from tests.e2e.cluster import MARGIN_S, until
from tests.e2e.world import World, now_ms

PROMISED_S = 5.0


async def test_revoked_tokens_and_links_are_closed_in_seconds_with_redis_down(world: World) -> None:
    cluster = world.cluster
    here, there = (cluster.url_of(name) for name in cluster.instances)
    token, driver_token = world.token(), world.token("driver", "d2")
    async with (
        world.driver("d1", here) as driver,
        world.watcher(here) as bystander,
        world.driver("d2", there, token=driver_token) as revoked_driver,
    ):
        driver.start(str(uuid4()), now_ms())
        drive(driver, 3)
        assert await driver.flush(30.0)
        journey_id = await journey_of(driver)
        view = await bystander.watch_journey(journey_id)
        wish = {"scope": "journey", "expires_in_s": 600}
        link = await world.call("POST", f"/api/v1/journeys/{journey_id}/shares", json=wish)
        share = link["url"].rpartition("/")[2].replace("#", ".")
        async with (
            world.watcher(here, share=share) as contact,
            world.watcher(there, share=share) as other_contact,
            world.watcher(here, token=token) as viewer,
            world.watcher(there, token=token) as other_viewer,
        ):
            gone = [contact, other_contact, viewer, other_viewer]
            for watcher in gone:
                await watcher.watch_journey(journey_id)
            await until(lambda: revoked_driver.link.is_up, "the other driver is connected")

            await cluster.redis.stop()
            await world.call("DELETE", f"/api/v1/shares/{link['id']}")
            for revoked in (token, driver_token):
                principal = Authenticator(cluster.settings).verify(revoked)
                body = {"jti": principal.jti, "expires_at": principal.expires_ms}
                await world.call("POST", "/api/v1/revocations", json=body)
            links = [*(watcher.link for watcher in gone), revoked_driver.link]
            took_s = await until(
                lambda: all(link.stopped is not None for link in links),
                "every revoked connection is closed",
                PROMISED_S + MARGIN_S,
            )
            print(f"closed {took_s:.2f} s after the last was revoked")
            assert {link.stopped.code for link in links if link.stopped} == {"revoked"}
        # Nor does anybody come back, and the others notice nothing.
        for name in cluster.instances:
            for namespace, credential in (("/watch", token), ("/driver", driver_token)):
                try:
                    await knock(cluster.url_of(name), namespace, credential)
                except Rejected as rejected:
                    assert rejected.error["code"] == "revoked" and not rejected.error["retryable"]
                else:
                    raise AssertionError(f"{name} let a revoked token in")
        drive(driver, 2)
        assert await driver.flush(30.0)
        await bystander.until(lambda: view.through == 5, 30.0)
        assert (driver.link.connects, bystander.link.connects) == (1, 1)
