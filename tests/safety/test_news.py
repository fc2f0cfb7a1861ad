"""What a process knows of alerts: each version once, whichever way it comes; nothing lost stays hidden."""

from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Alert, Kind, Severity, State
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.publisher import item_of
from realtime.bus.bus import BusItem
from realtime.protocol import Code, Refused


class Store:
    """A store that can be away."""

    def __init__(self) -> None:
        self.changed: list[Alert] = []
        self.open: list[Alert] = []
        self.away = False

    async def look(self) -> list[Alert]:
        if self.away:
            raise Refused(Code.UNAVAILABLE, "away")
        found, self.changed = self.changed, []
        return found

    async def every_open(self) -> list[Alert]:
        return self.open


def alert(version: int = 1, state: State = State.ACTIVE, alert_id: UUID | None = None) -> Alert:
    return Alert(
        alert_id=alert_id or uuid4(),
        tenant="t1",
        vendor="v1",
        driver="d1",
        sos_id=uuid4(),
        kind=Kind.SOS,
        severity=Severity.CRITICAL,
        state=state,
        version=version,
        pressed_ms=1,
        raised_ms=1,
    )


def listening(store: Store) -> tuple[OpenAlerts, list[tuple[int, int | None]]]:
    """News, and the versions that were told, each with the one before."""
    news = OpenAlerts(store)
    told: list[tuple[int, int | None]] = []
    news.listen(lambda now, before: told.append((now.version, before and before.version)))
    return news, told


async def test_a_version_is_told_once_whichever_way_it_comes() -> None:
    store = Store()
    news, told = listening(store)
    first = alert()
    news.heard(first)
    news.on_items([item_of(first)])
    store.changed = [first]
    await news.poll(reload=False)
    assert told == [(1, None)]


async def test_what_comes_late_is_old_news() -> None:
    news, told = listening(Store())
    first = alert()
    news.heard(replace(first, version=3))
    news.heard(replace(first, version=2))
    assert told == [(3, None)]


async def test_what_no_message_brought_is_found_by_the_poll() -> None:
    store = Store()
    news, told = listening(store)
    lost = alert()
    store.changed = [lost]
    await news.poll(reload=False)
    assert told == [(1, None)]
    assert news.open_of_vendor("t1", "v1") == [lost]


async def test_what_was_open_before_the_start_is_read() -> None:
    store = Store()
    news, told = listening(store)
    store.open = [alert()]
    await news.poll(reload=True)
    assert news.open_of_driver("t1", "d1") == store.open
    assert told == [(1, None)]


async def test_what_is_closed_is_open_no_more_and_still_known() -> None:
    news, _ = listening(Store())
    first = alert()
    news.heard(first)
    news.heard(replace(first, version=2, state=State.RESOLVED))
    assert news.open_count == 0
    known = news.get("t1", first.alert_id)
    assert known is not None
    assert known.state is State.RESOLVED
    assert news.get("t2", first.alert_id) is None


async def test_what_was_erased_goes_and_what_the_store_never_had_stays() -> None:
    store = Store()
    news, _ = listening(store)
    stored, local = alert(), alert()
    store.open = [stored]
    news.heard(local)
    await news.poll(reload=True)
    store.open = []
    await news.poll(reload=True)
    assert news.open_of_vendor("t1", "v1") == [local]


async def test_with_the_store_away_what_is_known_stays() -> None:
    store = Store()
    news, _ = listening(store)
    news.heard(alert())
    store.away = True
    with pytest.raises(Refused):
        await news.poll(reload=True)
    assert news.open_count == 1


async def test_a_listener_that_fails_is_in_no_others_way_and_forged_messages_tell_nothing() -> None:
    news = OpenAlerts(Store())
    told: list[int] = []

    def fails(now: Alert, before: Alert | None) -> None:
        raise RuntimeError("a listener's own fault")

    news.listen(fails)
    news.listen(lambda now, before: told.append(now.version))
    for fragment in (b"", b"{}", b"[]", b'{"alert_id":5}', b"\xff"):
        news.on_items([BusItem("x", 1, fragment)])
    news.heard(alert())
    assert told == [1]
