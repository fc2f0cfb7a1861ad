"""The page behind the link: only a POST with the token changes anything, and only while it is open."""

import gzip
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace
from yarl import URL

from alerts.case import Case
from alerts.replies.answer import AnswerClaims, make_token
from alerts.words.language import AVAILABLE
from realtime.answers.desk import _shown
from realtime.answers.routes import add_answers
from realtime.answers.words import TEXTS
from realtime.settings import Settings
from realtime.store.alerts import reads
from tests.sockets.kit import Server, now_ms
from tests.store.people import put_contact

CONTACT = str(UUID(int=7))


async def raised(server: Server, **more: Any) -> tuple[str, str]:
    """An alert and a contact's token for it."""
    raw = await server.driver(f"d-{uuid4()}")
    press = {"sos_id": str(uuid4()), "point": [1, now_ms(), 53.4, -2.9, 0, 0, 12], "message": "help", **more}
    ack = await raw.ask("/driver", "sos", press)
    return ack["alert_id"], token(server, ack["alert_id"])


def token(server: Server, alert_id: str, contact: str = CONTACT, valid_ms: int = 10**7) -> str:
    key = server.instance.settings.alerts_key
    return make_token(key, UUID(alert_id), contact, now_ms() + valid_ms)


async def post(server: Server, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    async with server.session.post(f"{server.url}{path}", json=body) as response:
        return response.status, await response.json()


async def version(server: Server, alert_id: str) -> int:
    alert = await reads.get(server.db, "t1", UUID(alert_id))
    assert alert is not None
    return alert.version


async def test_the_page_says_what_happened_where_and_to_whom(server: Server) -> None:
    _, link = await raised(server)
    status, shown = await post(server, "/answers/view", {"token": link})
    assert status == 200
    assert shown["state"] == "active"
    assert shown["coordinates"] == "53.40000, -2.90000"
    assert "53.4" in shown["map_url"]
    assert shown["message"] == "help"
    assert shown["button"] == shown["texts"]["on_it"]


async def test_a_scanner_that_gets_and_heads_everything_changes_nothing(server: Server) -> None:
    alert_id, link = await raised(server)
    before = await version(server, alert_id)
    paths = ["/a", f"/a?token={link}", "/answers/view", "/answers/act", f"/answers/act?token={link}&act=ack"]
    paths += ["/answers/page.js", "/answers/page.css"]
    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            async with server.session.request(method, f"{server.url}{path}") as response:
                await response.read()
                assert response.status < 500
    await post(server, "/answers/view", {"token": link})
    assert await version(server, alert_id) == before


async def test_the_button_acknowledges_as_the_contact(server: Server) -> None:
    alert_id, link = await raised(server)
    status, shown = await post(server, "/answers/act", {"token": link, "act": "ack"})
    assert (status, shown["state"], shown["mine"]) == (200, "acknowledged", True)
    alert = await reads.get(server.db, "t1", UUID(alert_id))
    assert alert is not None
    assert alert.acknowledged_by is not None
    assert alert.acknowledged_by.id == CONTACT
    other = await post(server, "/answers/view", {"token": token(server, alert_id, str(uuid4()))})
    assert other[1]["mine"] is False
    assert other[1]["button"] == other[1]["texts"]["me_too"]


async def test_who_acknowledged_and_cannot_after_all_sets_the_search_going_again(server: Server) -> None:
    _, link = await raised(server)
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    _, shown = await post(server, "/answers/act", {"token": link, "act": "cannot"})
    assert shown["state"] == "active"


async def test_a_note_and_a_false_alarm(server: Server) -> None:
    alert_id, link = await raised(server)
    status, _ = await post(
        server, "/answers/act", {"token": link, "act": "note", "text": "ring\x00 the bell"}
    )
    assert status == 200
    found = await reads.explain(server.db, "t1", UUID(alert_id))
    assert found is not None
    assert "ring the bell" in str([line.detail for line in found.audit])
    status, early = await post(server, "/answers/act", {"token": link, "act": "false_alarm"})
    assert (status, early["error"]["code"]) == (403, "forbidden")
    _, on_it = await post(server, "/answers/act", {"token": link, "act": "ack"})
    assert on_it["may_end"] is True
    _, shown = await post(server, "/answers/act", {"token": link, "act": "false_alarm"})
    assert (shown["state"], shown["closed"], shown["button"]) == ("cancelled", True, "")


async def test_a_link_used_again_after_the_end_shows_the_end_and_changes_nothing(server: Server) -> None:
    alert_id, link = await raised(server)
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    await post(server, "/answers/act", {"token": link, "act": "false_alarm"})
    before = await version(server, alert_id)
    for act in ("ack", "cannot", "false_alarm", "note"):
        status, shown = await post(server, "/answers/act", {"token": link, "act": act, "text": "x"})
        assert (status, shown["state"]) == (200, "cancelled")
    assert await version(server, alert_id) == before


async def test_forged_expired_and_foreign_tokens_are_no_links(server: Server) -> None:
    alert_id, link = await raised(server)
    before = await version(server, alert_id)
    changed = ("B" if link[0] == "A" else "A") + link[1:]
    nobody = token(server, str(uuid4()))
    old = token(server, alert_id, valid_ms=-2_000)
    wrong = make_token("another key altogether, of 32 bytes", UUID(alert_id), CONTACT, now_ms() + 10**7)
    for bad in (changed, link[:-1], link + "A", "", "x" * 10_000, nobody, old, wrong):
        for path in ("/answers/view", "/answers/act"):
            status, answer = await post(server, path, {"token": bad, "act": "ack"})
            assert (status, answer["error"]["code"]) == (404, "not_found")
    assert await version(server, alert_id) == before


@pytest.mark.parametrize(
    "body",
    [None, 5, "x", [], {}, {"token": 5}, {"token": None, "act": "ack"}, {"act": "ack"}],
)
async def test_wrong_types_are_refused_with_a_code(server: Server, body: Any) -> None:
    status, answer = await post(server, "/answers/act", body)
    assert (status, answer["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("act", ["", "resolve", "ACK", "note"])
async def test_what_is_no_act_changes_nothing(server: Server, act: str) -> None:
    alert_id, link = await raised(server)
    before = await version(server, alert_id)
    status, answer = await post(server, "/answers/act", {"token": link, "act": act})
    assert (status, answer["error"]["code"]) == (400, "invalid")
    assert await version(server, alert_id) == before


async def test_a_body_another_sites_form_could_send_is_refused(server: Server) -> None:
    alert_id, link = await raised(server)
    before = await version(server, alert_id)
    data = f'{{"token":"{link}","act":"ack"}}'
    async with server.session.post(
        f"{server.url}/answers/act", data=data, headers={"Content-Type": "text/plain"}
    ) as response:
        assert response.status == 400
    async with server.session.post(f"{server.url}/answers/act", json={"token": "x" * 20_000}) as response:
        assert response.status == 413
    assert await version(server, alert_id) == before


async def test_the_page_loads_nothing_from_elsewhere_and_tells_nobody_where_it_was(server: Server) -> None:
    async with server.session.get(f"{server.url}/a") as response:
        html = await response.text()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
    assert "style=" not in html
    assert "<script>" not in html
    assert "onclick" not in html


async def test_the_view_says_where_as_numbers(server: Server) -> None:
    _, link = await raised(server)
    _, shown = await post(server, "/answers/view", {"token": link})
    assert (shown["lat"], shown["lon"], shown["accuracy_m"]) == (53.4, -2.9, 12)
    assert shown["place_ms"] is not None


async def test_who_is_on_it_ends_it_and_the_view_says_who_when_and_how(server: Server) -> None:
    alert_id, link = await raised(server)
    status, early = await post(server, "/answers/act", {"token": link, "act": "over"})
    assert (status, early["error"]["code"]) == (403, "forbidden")
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    _, shown = await post(server, "/answers/act", {"token": link, "act": "over"})
    assert (shown["state"], shown["closed"], shown["may_close"]) == ("resolved", True, False)
    assert shown["ended"].startswith("You said at ")
    _, seen = await post(server, "/answers/view", {"token": token(server, alert_id, "Leo")})
    assert seen["ended"].startswith("It ended at "), "the contact who ended it has no name"


@pytest.mark.parametrize("eta_s", [None, -1, 86_401, "x", 1.5])
async def test_an_arrival_that_is_none_is_refused(server: Server, eta_s: Any) -> None:
    _, link = await raised(server)
    status, answer = await post(server, "/answers/act", {"token": link, "act": "coming", "eta_s": eta_s})
    assert (status, answer["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("behind", [".", ")", ",", ">", '"', " ", "&utm_source=x", "%20", "\u200b"])
async def test_what_stands_behind_a_token_is_cut(server: Server, behind: str) -> None:
    _, link = await raised(server)
    status, shown = await post(server, "/answers/view", {"token": link + behind})
    assert (status, shown["state"]) == (200, "active")


async def test_a_link_that_was_good_once_is_told_from_one_that_is_wrong(server: Server) -> None:
    alert_id, link = await raised(server)
    old = token(server, alert_id, valid_ms=-2_000)
    for bad, reason in ((old, "expired"), (link[:-1], "wrong"), ("", "wrong")):
        status, answer = await post(server, "/answers/view", {"token": bad})
        error = answer["error"]
        assert (status, error["code"], error["reason"]) == (404, "not_found", reason)


async def test_under_duress_no_contact_calls_it_a_false_alarm(server: Server) -> None:
    alert_id, link = await raised(server)
    await post(server, "/answers/act", {"token": link, "act": "ack"})
    case = await server.instance.alerts.intake.case(UUID(alert_id))
    assert case is not None
    for duress in (False, True):
        alert = replace(case.alert, duress=duress)
        answer = AnswerClaims(UUID(alert_id), CONTACT, now_ms() + 10**6)
        shown = _shown(answer, Case(alert, case.copy, case.attempts), now_ms())
        assert (shown.may_end, shown.may_close) == (not duress, True)


async def on_one_phone(server: Server) -> tuple[str, list[str]]:
    """An alert whose driver has two contacts with one phone, and the contacts' ids."""
    driver, phone = f"d-{uuid4()}", f"+4477009{uuid4().int % 10**5:05}"
    raw = await server.driver(driver)
    ids = [
        str(await put_contact(server.db, "t1", driver_id=driver, name=name, phone=phone, position=place))
        for place, name in enumerate(("Ana", "Ben"))
    ]
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4())})
    return ack["alert_id"], ids


async def test_both_contacts_with_one_phone_are_named_wherever_one_answers(server: Server) -> None:
    alert_id, (ana, ben) = await on_one_phone(server)
    _, mine = await post(server, "/answers/act", {"token": token(server, alert_id, ana), "act": "ack"})
    assert mine["mine"] is True
    _, seen = await post(server, "/answers/view", {"token": token(server, alert_id)})
    assert seen["status"] == "Ana, Ben is on it."
    coming = {"token": token(server, alert_id, ben), "act": "coming", "eta_s": 300}
    _, seen = await post(server, "/answers/act", coming)
    assert any(line.startswith("Ben, Ana, ") for line in seen["coming"]), seen["coming"]
    await post(server, "/answers/act", {"token": token(server, alert_id, ana), "act": "over"})
    _, seen = await post(server, "/answers/view", {"token": token(server, alert_id)})
    assert seen["ended"].startswith("Ana, Ben said at ")


GETS = (
    "/a",
    "/a/",
    "/a%23{}",
    "/a%2523{}",
    "/a/{}",
    "/a?{}",
    "/A%23{}",
    "/a*{}",
    "/a&num;{}",
    "//a%23{}",
    "/a.",
)


@pytest.mark.parametrize("path", GETS)
async def test_the_page_is_served_at_a_link_that_was_changed_on_the_way(server: Server, path: str) -> None:
    alert_id, link = await raised(server)
    before = await version(server, alert_id)
    async with server.session.get(URL(server.url + path.format(link), encoded=True)) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert link not in await response.text()
    assert await version(server, alert_id) == before


@pytest.mark.parametrize(
    ("wishes", "language"), [("de-AT,de;q=0.9", "de"), ("ar,fr;q=0.5", "fr"), ("nl", "en")]
)
async def test_the_page_is_in_the_readers_language_before_anything_is_asked(
    server: Server, wishes: str, language: str
) -> None:
    async with server.session.get(f"{server.url}/a", headers={"Accept-Language": wishes}) as response:
        html = await response.text()
        assert response.headers["Vary"] == "Accept-Language"
    assert f'<html lang="{language}">' in html
    assert TEXTS[language]["loading"] in html
    assert "{" not in html


@pytest.mark.parametrize(
    ("safety_url", "framed"),
    [("", False), ("https://track.example", False), ("https://sos.example:8443", True)],
)
async def test_a_page_at_the_safety_address_frames_the_map_of_the_public_one(
    safety_url: str, framed: bool
) -> None:
    settings = Settings(public_url="https://track.example", safety_url=safety_url)
    app = web.Application()
    add_answers(app, cast(Any, None), settings)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/a")
        html, policy = await response.text(), response.headers["Content-Security-Policy"]
    assert ('data-public="https://track.example"' in html) is framed
    assert ("frame-src https://track.example" in policy) is framed
    assert ("frame-ancestors https://sos.example:8443" in policy) is framed
    assert ("X-Frame-Options" in response.headers) is not framed
    assert policy.count("frame-ancestors") == 1


async def test_the_page_is_small(server: Server) -> None:
    total = 0
    for path in ("/a", "/answers/page.js", "/answers/page.css"):
        async with server.session.get(server.url + path) as response:
            total += len(gzip.compress(await response.read()))
    assert total < 12_000


def test_every_language_of_the_messages_says_everything() -> None:
    assert set(TEXTS) == set(AVAILABLE)
    for language, texts in TEXTS.items():
        assert texts.keys() == TEXTS["en"].keys(), language
        assert "{name}" in texts["who"]
