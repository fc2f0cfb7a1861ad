"""Every operation about sessions and pairing once, for the tests that hold answers against the document."""

from tests.api.drives_people import Drive
from tests.api.harness import Api

SESSION_IDS = {"session_id": "A" * 22, "jti": "0" * 32}


async def session_drives(api: Api) -> list[Drive]:
    """Method, template, path and arguments, in an order in which each succeeds."""
    one, all_ = "/api/v1/session", "/api/v1/sessions"
    mine = (await api.call("POST", one)).json["session_id"]
    pairing = {"vendor": "north", "driver": "paired"}
    url = (await api.call("POST", "/api/v1/pairings", json=pairing)).json["url"]
    lost = (await api.call("POST", "/api/v1/pairings", json=pairing)).json["jti"]
    code = {"code": url.split("#pair=")[1]}
    return [
        ("post", one, one, {}),
        ("get", one, one, {}),
        ("delete", one, one, {}),
        ("get", all_, all_, {}),
        ("delete", all_ + "/{session_id}", f"{all_}/{mine}", {}),
        ("post", "/api/v1/pairings", "/api/v1/pairings", {"json": pairing}),
        ("delete", "/api/v1/pairings/{jti}", f"/api/v1/pairings/{lost}", {"token": api.token("admin")}),
        ("post", "/api/v1/pairings/redeem", "/api/v1/pairings/redeem", {"token": None, "json": code}),
    ]
