"""An alert's attempts and history over HTTP: the newest page, and from there back in time."""

from uuid import UUID

import pytest

from tests.api.harness import Api
from tests.api.test_alert_shares import raised

PRESSES = """
INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, arrow, detail)
SELECT $1, 't1', n, n, '{"kind": "driver", "id": "d1", "name": ""}', 'pressed', 'B',
       json_build_object('sos_id', gen_random_uuid(), 'place', '53.40000, -2.98000', 'press', n)
FROM generate_series(1, 2000) n
"""


@pytest.fixture
async def alert(api: Api) -> str:
    """A path of an alert that was pressed 2,000 times more."""
    alert_id = await raised(api)
    async with api.db.writer() as connection:
        await connection.execute(PRESSES, UUID(alert_id))
    return f"/api/v1/alerts/{alert_id}"


async def test_a_read_of_an_alert_is_bounded_however_often_it_was_pressed(api: Api, alert: str) -> None:
    reply = await api.get(alert)
    assert len(reply.body) < 60_000
    history = reply.json["history"]
    assert [line["detail"]["press"] for line in history] == list(range(1_901, 2_001))
    assert reply.json["history_cursor"] is not None
    assert len((await api.get(f"{alert}?limit=500")).json["history"]) == 500
    for limit in ("0", "501", "all"):
        assert (await api.get(f"{alert}?limit={limit}")).code == "invalid"


async def test_pages_of_the_history_lead_to_its_first_line(api: Api, alert: str) -> None:
    first = (await api.get(f"{alert}?limit=500")).json
    lines, cursor = first["history"], first["history_cursor"]
    pages = 0
    while cursor is not None:
        page = (await api.get(f"{alert}/history?limit=500&cursor={cursor}")).json
        lines, cursor, pages = page["history"] + lines, page["next_cursor"], pages + 1
    assert [line["detail"]["press"] for line in lines[-2_000:]] == list(range(1, 2_001))
    assert lines[0]["what"] == "raised" and pages == 4
    newest = (await api.get(f"{alert}/history")).json
    assert newest["history"] == lines[-100:], "without a cursor the newest"


async def test_pages_of_the_attempts_lead_to_the_first(api: Api, alert: str) -> None:
    whole = (await api.get(alert)).json
    assert whole["attempts"] and whole["attempts_cursor"] is None
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"{alert}/attempts?limit=1{cursor and '&cursor=' + cursor}")).json
        seen[:0] = page["attempts"]
        cursor = page["next_cursor"]
    assert {one["attempt_id"] for one in seen} == {one["attempt_id"] for one in whole["attempts"]}
    assert len(seen) == len(whole["attempts"])


@pytest.mark.parametrize("what", ["history", "attempts"])
async def test_who_does_not_oversee_the_vendor_reads_no_page(api: Api, alert: str, what: str) -> None:
    assert (await api.get(f"{alert}/{what}", api.token("driver", ["north"], driver="d1"))).code == "forbidden"
    foreign = await api.get(f"{alert}/{what}", api.token(tenant="t2"))
    assert foreign.code == "not_found"
    assert (await api.get(f"{alert}/{what}", api.token("dispatcher", ["south"]))).body == foreign.body
    mine = (await api.get(alert, api.token("driver", ["north"], driver="d1"))).json
    assert (mine["history"], mine["history_cursor"], mine["attempts_cursor"]) == ([], None, None)


@pytest.mark.parametrize(
    "cursor", ["AAAA", "aGlzdG9yeTp4", "aGlzdG9yeTotMQ", "x" * 257, "aGlzdG9yeTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk"]
)
@pytest.mark.parametrize("what", ["history", "attempts"])
async def test_a_cursor_that_is_none_is_invalid(api: Api, alert: str, what: str, cursor: str) -> None:
    assert (await api.get(f"{alert}/{what}?cursor={cursor}")).code == "invalid"


async def test_links_are_read_by_page_and_not_all_of_them(api: Api, alert: str) -> None:
    """A page costs what it holds: the rows behind it are not read."""
    share = {"scope": "live", "expires_in_s": 60}
    made = [(await api.call("POST", f"{alert}/shares", json=share)).json["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"{alert}/shares?limit=2{cursor and '&cursor=' + cursor}")).json
        assert len(page["shares"]) <= 2
        seen += [one["id"] for one in page["shares"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(made) and len(set(seen)) == 5
