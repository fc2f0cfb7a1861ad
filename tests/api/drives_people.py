"""Every operation about people once, for the tests that hold answers against the OpenAPI document."""

from typing import Any

from tests.api.harness import Api

PEOPLE_IDS = {
    "contact_id": "0199d2c8-0000-4000-8000-000000000001",
    "kind": "sos",
    "driver": "d1",
    "device_id": "0" * 32,
}
POLICY = {"steps": [{"contacts": ["*", "dispatch"], "channels": ["sms", "push"], "wait_s": 30}]}

Drive = tuple[str, str, str, dict[str, Any]]


async def people_drives(api: Api) -> list[Drive]:
    """Method, template, path and arguments, in an order in which each succeeds."""
    base, admin = "/api/v1/contacts", api.token("admin")
    new = {"name": "Ana", "driver": "d1", "vendor": "north", "phone": "+442079460958", "email": "a@b.example"}
    made = (await api.call("POST", base, admin, json=new)).json["contact"]["contact_id"]
    one, mine = base + "/{contact_id}", f"{base}/{made}"
    await api.call("POST", f"{mine}/codes", json={"channel": "sms"})
    device = {"push_token": "a-push-token", "platform": "web"}
    kept = (await api.call("POST", "/api/v1/devices", json=device)).json["device_id"]
    driver = api.token("driver", ["north"], driver="d1")
    profile = {"token": driver, "json": {"name": "Ada", "phone": "+442079460958"}}
    pins = {"token": driver, "json": {"cancel": "1234", "duress": None}}
    order = "/api/v1/drivers/{driver}/contacts/order"
    return [
        ("put", order, order.format(driver="d1"), {"json": {"contact_ids": [made]}}),
        ("post", base, base, {"json": new | {"name": "Bo"}}),
        ("get", base, f"{base}?driver=d1", {}),
        ("get", one, mine, {}),
        ("patch", one, mine, {"json": {"position": 7}}),
        ("post", one + "/codes", f"{mine}/codes", {"json": {"channel": "email"}}),
        ("post", one + "/verify", f"{mine}/verify", {"json": {"channel": "sms", "code": api.fakes.code}}),
        ("post", one + "/test", f"{mine}/test", {"json": {"channel": "sms"}}),
        ("put", "/api/v1/policies/{kind}", "/api/v1/policies/sos?vendor=north", {"json": POLICY}),
        ("get", "/api/v1/policies/{kind}", "/api/v1/policies/sos?vendor=north", {}),
        ("get", "/api/v1/drivers/{driver}/escalation", "/api/v1/drivers/d1/escalation?kind=fall", {}),
        ("delete", "/api/v1/policies/{kind}", "/api/v1/policies/sos?vendor=north", {}),
        ("put", "/api/v1/drivers/{driver}/safety", "/api/v1/drivers/d1/safety", {"json": {"name": "Ada"}}),
        ("get", "/api/v1/drivers/{driver}/safety", "/api/v1/drivers/d1/safety", {}),
        ("put", "/api/v1/drivers/{driver}/profile", "/api/v1/drivers/d1/profile", profile),
        ("get", "/api/v1/drivers/{driver}/profile", "/api/v1/drivers/d1/profile", {}),
        ("post", "/api/v1/drivers/names", "/api/v1/drivers/names", {"json": {"drivers": ["d1"]}}),
        ("get", "/api/v1/drivers/{driver}/changes", "/api/v1/drivers/d1/changes", {}),
        ("put", "/api/v1/drivers/{driver}/pins", "/api/v1/drivers/d1/pins", pins),
        ("post", "/api/v1/devices", "/api/v1/devices", {"json": device}),
        ("get", "/api/v1/devices", "/api/v1/devices", {}),
        ("delete", "/api/v1/devices/{device_id}", f"/api/v1/devices/{kept}", {}),
        ("delete", one, mine, {}),
        ("delete", "/api/v1/drivers/{driver}", "/api/v1/drivers/d1", {"token": admin}),
    ]
