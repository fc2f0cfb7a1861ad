"""Links to an alert over HTTP: who makes, lists and revokes them, and what a driver's phone does not show."""

from typing import Any
from uuid import uuid4

import pytest

from realtime.store.journeys import shares
from tests.api.harness import Api, Reply

HOUR = {"scope": "journey", "expires_in_s": 3_600}


async def raised(api: Api, driver: str = "d1", vendor: str = "north", **more: Any) -> str:
    """An alert of a driver of tenant t1."""
    await api.journey(driver=driver, vendor=vendor)
    body = {"sos_id": str(uuid4()), "vendor": vendor, "driver": driver, **more}
    reply = await api.call("POST", "/api/v1/alerts", api.token("service"), json=body)
    assert reply.status == 200, reply.body
    return str(reply.json["alert_id"])


async def share(api: Api, alert_id: str, token: str = "", **more: Any) -> Reply:
    return await api.call("POST", f"/api/v1/alerts/{alert_id}/shares", token, json={**HOUR, **more})


async def test_a_link_to_an_alert_opens_with_its_secret_and_is_listed_without_it(api: Api) -> None:
    alert_id = await raised(api)
    reply = await share(api, alert_id)
    assert reply.status == 201
    start, _, secret = reply.json["url"].partition("#")
    assert start == f"https://track.example/s/{reply.json['id']}"
    opened = await shares.resolve(api.db, reply.json["id"], secret)
    assert opened is not None
    assert (str(opened.alert_id), opened.scope, opened.tenant) == (alert_id, "journey", "t1")
    await shares.viewed(api.db, reply.json["id"], "203.0.113.9", "Firefox")
    listed = await api.get(f"/api/v1/alerts/{alert_id}/shares")
    assert secret.encode() not in listed.body
    (one,) = listed.json["shares"]
    assert (one["id"], one["created_by"], one["revoked_at"]) == (reply.json["id"], "dispatcher@t1", None)
    assert one["lasts_until"] == one["expires_at"] == reply.json["expires_at"]
    assert [view["address"] for view in one["views"]] == ["203.0.113.9"]


async def test_links_to_an_alert_come_in_pages_each_once(api: Api) -> None:
    alert_id = await raised(api)
    made = {(await share(api, alert_id)).json["id"] for _ in range(3)}
    first = (await api.get(f"/api/v1/alerts/{alert_id}/shares?limit=2")).json
    rest = (await api.get(f"/api/v1/alerts/{alert_id}/shares?limit=2&cursor={first['next_cursor']}")).json
    found = [one["id"] for one in (*first["shares"], *rest["shares"])]
    assert len(found) == 3 and set(found) == made and rest["next_cursor"] is None


async def test_the_history_of_the_alert_says_who_made_and_who_revoked_a_link(api: Api) -> None:
    alert_id = await raised(api)
    made = (await share(api, alert_id)).json
    admin = api.token("admin")
    for _ in range(2):  # again is fine, and no second line
        assert (await api.call("DELETE", f"/api/v1/shares/{made['id']}", admin)).status == 200
    assert await shares.resolve(api.db, made["id"], made["url"].partition("#")[2]) is None
    history = (await api.get(f"/api/v1/alerts/{alert_id}")).json["history"]
    told = [
        (line["by_id"], line["what"], line["detail"]["share"]) for line in history if "share" in line["what"]
    ]
    assert told == [
        ("dispatcher@t1", "share made", made["id"]),
        ("admin@t1", "share revoked", made["id"]),
    ]


async def test_an_alert_of_others_is_byte_for_byte_a_missing_one(api: Api) -> None:
    alert_id = await raised(api)
    made = (await share(api, alert_id)).json
    strangers = (
        api.token("admin", tenant="t2"),
        api.token(vendors=["south"]),
        api.token("driver", ["north"], driver="d2"),
    )
    for token in strangers:
        for method, body in (("POST", HOUR), ("GET", None)):
            missing = await api.call(method, f"/api/v1/alerts/{uuid4()}/shares", token, json=body)
            theirs = await api.call(method, f"/api/v1/alerts/{alert_id}/shares", token, json=body)
            assert (theirs.status, theirs.body) == (missing.status, missing.body) == (404, missing.body)
        missing = await api.call("DELETE", "/api/v1/shares/none", token)
        theirs = await api.call("DELETE", f"/api/v1/shares/{made['id']}", token)
        assert (theirs.status, theirs.body) == (missing.status, missing.body) == (404, missing.body)
    assert await shares.resolve(api.db, made["id"], made["url"].partition("#")[2]) is not None


async def test_a_drivers_phone_neither_makes_nor_sees_nor_closes_links_to_its_alert(api: Api) -> None:
    alert_id = await raised(api)
    made = (await share(api, alert_id)).json
    phone = api.token("driver", ["north"], driver="d1")
    assert (await api.get(f"/api/v1/alerts/{alert_id}", phone)).status == 200
    refused = [await share(api, alert_id, phone), await api.get(f"/api/v1/alerts/{alert_id}/shares", phone)]
    assert [(reply.status, reply.code) for reply in refused] == [(403, "forbidden")] * 2
    closed = await api.call("DELETE", f"/api/v1/shares/{made['id']}", phone)
    missing = await api.call("DELETE", "/api/v1/shares/none", phone)
    assert (closed.status, closed.body) == (missing.status, missing.body)
    # As with an alert that is over: what is said tells nothing of it.
    await api.call("POST", f"/api/v1/alerts/{alert_id}/resolve", json={})
    after = [await share(api, alert_id, phone), await api.get(f"/api/v1/alerts/{alert_id}/shares", phone)]
    assert [reply.body for reply in after] == [reply.body for reply in refused]


async def test_that_an_open_alert_keeps_a_journeys_link_is_shown_to_overseers_and_not_on_the_phone(
    api: Api,
) -> None:
    journey = await api.journey(driver="d1")
    path = f"/api/v1/journeys/{journey}/shares"
    made = (await api.call("POST", path, json=HOUR)).json
    alert_id = await raised(api)
    async with api.db.writer() as connection:
        await connection.execute("UPDATE alerts SET journey_id = $2 WHERE alert_id = $1", alert_id, journey)
        await connection.execute(
            "UPDATE shares SET expires_ms = now_ms() - 1 WHERE share_id = $1", made["id"]
        )
        # Raised, then, while the link was good.
        await connection.execute("UPDATE alerts SET raised_ms = 1 WHERE alert_id = $1", alert_id)
    (seen,) = (await api.get(path)).json["shares"]
    assert seen["lasts_until"] >= seen["expires_at"] + shares.GRACE_MS
    (shown,) = (await api.get(path, api.token("driver", ["north"], driver="d1"))).json["shares"]
    assert shown["lasts_until"] == shown["expires_at"] == seen["expires_at"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "all"},
        {"scope": None},
        {"expires_in_s": 0},
        {"expires_in_s": "60"},
        {"expires_in_s": 30 * 86_400 + 1},
        {"more": 1},
    ],
)
async def test_a_wrong_wish_makes_no_link(api: Api, wrong: dict[str, Any]) -> None:
    alert_id = await raised(api)
    reply = await share(api, alert_id, **wrong)
    assert (reply.status, reply.code) == (400, "invalid")
    assert (await api.get(f"/api/v1/alerts/{alert_id}/shares")).json["shares"] == []
    assert (await share(api, "no-uuid")).status == (await api.get("/api/v1/alerts/no-uuid")).status


async def test_an_alert_that_only_a_journal_has_is_shared_a_little_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert_id = await raised(api)
    create = shares.create_to_alert

    async def not_yet(db: Any, tenant: str, _: Any, *more: Any, **named: Any) -> Any:
        return await create(db, tenant, uuid4(), *more, **named)

    monkeypatch.setattr(shares, "create_to_alert", not_yet)
    reply = await share(api, alert_id)
    assert (reply.status, reply.code) == (503, "unavailable")
    assert reply.json["error"]["retryable"] is True
