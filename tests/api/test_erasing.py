"""Erasing a driver over HTTP: who may, and what comes back."""

import msgspec

from realtime.erasure.eraser import ErasureRecord, is_signed
from tests.api.harness import Api
from tests.store.people import put_driver

WHERE = "/api/v1/drivers/d1"


async def test_who_may_erase_a_driver(api: Api) -> None:
    unknown = await api.call("DELETE", "/api/v1/drivers/unheard", api.token("admin", ["north"]))
    assert (unknown.status, unknown.code) == (404, "not_found")
    cases = [
        (api.token("driver", ["north"], driver="d1"), 403),
        (api.token("dispatcher"), 403),
        (api.token("dispatcher", ["north"]), 403),
        (api.token("admin", ["south"]), 404),
        (api.token("admin", []), 404),
        (api.token("admin", ["north"]), 200),
        (api.token("service"), 200),
        (api.token("admin"), 200),
    ]
    for token, status in cases:
        await put_driver(api.db, "t1", "north", "d1")
        reply = await api.call("DELETE", WHERE, token)
        assert reply.status == status
        if status == 404:
            assert reply.body == unknown.body


async def test_another_tenants_driver_of_the_same_name_stays(api: Api) -> None:
    journey = await api.journey("d1", points=3)
    other = await api.journey("d1", tenant="t2", points=3)
    reply = await api.call("DELETE", WHERE, api.token("admin", tenant="t3"))
    assert reply.json["done"] is True, "t3 has none, and says no more than that"
    assert (await api.get(f"/api/v1/journeys/{journey}")).status == 200
    assert (await api.call("DELETE", WHERE, api.token("admin"))).json["done"] is True
    assert (await api.get(f"/api/v1/journeys/{journey}")).status == 404
    assert (await api.get(f"/api/v1/journeys/{other}", api.token(tenant="t2"))).status == 200


async def test_the_answer_is_the_signed_proof(api: Api) -> None:
    await api.journey("d1", points=7)
    answer = (await api.call("DELETE", WHERE, api.token("admin"))).json
    assert (answer["places"]["journeys"], answer["places"]["journey_points"]) == ([1, 0], [7, 0])
    fields = {name: answer[name] for name in ErasureRecord.__struct_fields__}
    assert is_signed(msgspec.convert(fields, ErasureRecord), "key")


async def test_an_open_alert_is_in_the_way(api: Api) -> None:
    await put_driver(api.db, "t1", "north", "d1")
    async with api.db.writer() as connection:
        await connection.execute(
            "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, kind, state, drill, raised_ms, "
            "version, alert, policy_copy) "
            "VALUES (gen_random_uuid(), 't1', 'north', 'd1', 'sos', 'active', false, 1, 1, '{}', '{}')"
        )
    reply = await api.call("DELETE", WHERE, api.token("admin"))
    assert (reply.status, reply.code) == (409, "conflict")
