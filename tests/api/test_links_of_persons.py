"""Links to a driver over HTTP: made on one of their journeys, listed with its links, revoked."""

from uuid import UUID

from realtime.store.journeys import shares
from tests.api.harness import Api

HOUR = {"scope": "live", "expires_in_s": 3_600}


async def test_a_link_that_follows_is_made_listed_and_revoked_with_those_of_the_journey(api: Api) -> None:
    first = await api.journey(driver="d1", vendor="north")
    second = await api.journey(driver="d1", vendor="north")
    url = f"/api/v1/journeys/{first}/shares"
    made = await api.call("POST", url, "", json={**HOUR, "follows": True})
    assert made.status == 201, made.body
    share_id, _, secret = made.json["url"].rpartition("/")[2].partition("#")
    opened = await shares.resolve(api.db, share_id, secret)
    assert opened is not None
    assert (opened.driver, opened.vendor, opened.journey_id) == ("d1", "north", UUID(str(second)))
    await api.call("POST", url, "", json=HOUR)
    for journey, follows in ((first, {True, False}), (second, {True})):
        listed = (await api.get(f"/api/v1/journeys/{journey}/shares")).json["shares"]
        assert {one["follows"] for one in listed} == follows
    assert (await api.call("DELETE", f"/api/v1/shares/{share_id}", "")).status == 200
    assert await shares.resolve(api.db, share_id, secret) is None


async def test_a_link_to_a_driver_is_not_anothers_to_revoke(api: Api) -> None:
    journey = await api.journey(driver="d1", vendor="north")
    made = await api.call("POST", f"/api/v1/journeys/{journey}/shares", "", json={**HOUR, "follows": True})
    other = api.token("dispatcher", vendors=["south"])
    reply = await api.call("DELETE", f"/api/v1/shares/{made.json['id']}", other)
    assert (reply.status, reply.code) == (404, "not_found")
