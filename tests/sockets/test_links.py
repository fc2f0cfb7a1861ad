"""Until when a link lets its holder stay: by Postgres, and by what is heard of alerts with that away."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Alert, Kind, Press, State, opened_alert
from realtime.alerting.open_alerts import OpenAlerts
from realtime.auth.tokens import Principal, ShareGrant
from realtime.protocol import Code, Refused
from realtime.sockets.link_expiry import LinkExpiry
from realtime.store.journeys import shares

JOURNEY = uuid4()
EXPIRES_MS = 1_000_000_000


@dataclass
class Holder:
    """A connection, as far as it is judged."""

    principal: Principal
    ended: Refused | None = None

    def end(self, refusal: Refused) -> None:
        self.ended = refusal


class Clock:
    now_ms = EXPIRES_MS - 1

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judge(clock: Clock) -> LinkExpiry:
    made = LinkExpiry(None, clock, late_ms=6_000)  # type: ignore[arg-type]
    made.news = OpenAlerts(None)  # type: ignore[arg-type]
    return made


def holder(share_id: str = "s1", *, of_alert: UUID | None = None, token: bool = False) -> Holder:
    journey = str(JOURNEY) if of_alert is None else None
    grant = (
        None if token else ShareGrant(share_id, journey, "live", None if of_alert is None else str(of_alert))
    )
    role: Any = "dispatcher" if token else "share"
    return Holder(Principal("x", role, "t1", frozenset(), None, None, EXPIRES_MS, grant))


def pressed(raised_ms: int = EXPIRES_MS - 1, *, drill: bool = False) -> Alert:
    press = Press("t1", "v1", "d1", uuid4(), Kind.SOS, raised_ms, raised_ms, "http", JOURNEY, drill=drill)
    return opened_alert(press, 0, raised_ms).alert


def closed(alert: Alert, at_ms: int) -> Alert:
    return replace(alert, state=State.RESOLVED, closed_ms=at_ms, version=alert.version + 1)


def test_a_token_and_an_answer_link_are_over_when_their_time_is_up(judge: LinkExpiry, clock: Clock) -> None:
    assert judge.news is not None
    judge.news.heard(alert := pressed())
    for one in (holder(token=True), holder("", of_alert=alert.alert_id)):
        clock.now_ms = EXPIRES_MS
        assert not judge.is_over(one)
        clock.now_ms = EXPIRES_MS + 1
        assert judge.is_over(one)


def test_a_share_waits_a_moment_for_word_of_an_sos_and_is_over_then(judge: LinkExpiry, clock: Clock) -> None:
    clock.now_ms = EXPIRES_MS + 6_000
    assert not judge.is_over(holder())
    clock.now_ms += 1
    assert judge.is_over(holder())


@pytest.mark.parametrize("to", ["journey", "alert"])
def test_an_open_sos_that_is_heard_of_keeps_a_share_until_an_hour_after_its_end(
    judge: LinkExpiry, clock: Clock, to: str
) -> None:
    assert judge.news is not None
    alert = pressed()
    one = holder(of_alert=alert.alert_id if to == "alert" else None)
    judge.news.heard(alert)
    clock.now_ms = EXPIRES_MS + 5_000
    for _ in range(3):  # it is looked at every second; here, once in a grace
        assert not judge.is_over(one)
        clock.now_ms = one.principal.expires_ms + 1
    assert not judge.is_over(one)
    ends_ms = one.principal.expires_ms
    assert ends_ms == clock.now_ms + shares.GRACE_MS
    judge.news.heard(closed(alert, clock.now_ms))
    clock.now_ms = ends_ms
    assert not judge.is_over(one)
    clock.now_ms = ends_ms + 6_001
    assert judge.is_over(one)


def test_a_drill_and_an_sos_that_came_too_late_keep_nothing(judge: LinkExpiry, clock: Clock) -> None:
    assert judge.news is not None
    drill, late = pressed(drill=True), pressed(EXPIRES_MS + 1)
    for alert in (drill, late):
        judge.news.heard(alert)
    clock.now_ms = EXPIRES_MS + 6_001
    for one in (holder(), holder(of_alert=drill.alert_id), holder(of_alert=late.alert_id)):
        assert judge.is_over(one)


async def test_what_postgres_says_counts_and_while_it_is_away_nobody_is_ended(
    judge: LinkExpiry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, revoked, token = holder("kept"), holder("revoked"), holder(token=True)
    known: dict[str, int] | None = None

    async def lasting(_: object, share_ids: list[str]) -> dict[str, int]:
        assert sorted(share_ids) == ["kept", "revoked"]
        if known is None:
            raise Refused(Code.UNAVAILABLE, "away")
        return known

    monkeypatch.setattr(shares, "lasting", lasting)
    everybody: Any = [kept, revoked, token]
    await judge.look(everybody)
    assert [one.ended for one in (kept, revoked, token)] == [None] * 3
    known = {"kept": EXPIRES_MS + 50_000}
    await judge.look(everybody)
    assert kept.ended is None and token.ended is None
    assert revoked.ended is not None and revoked.ended.code is Code.REVOKED
    clock.now_ms = EXPIRES_MS + 50_000
    assert not judge.is_over(kept)
    known = {"kept": EXPIRES_MS}  # heard of an SOS that Postgres has not yet: it is not taken back
    await judge.look(everybody)
    assert kept.principal.expires_ms == EXPIRES_MS + 50_000
