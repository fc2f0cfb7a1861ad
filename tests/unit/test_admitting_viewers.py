"""A vendor is made once an instance: viewers that all come back at once do not ask the store again."""

from typing import Any, cast

import pytest

from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused
from realtime.sockets import watch
from realtime.sockets.watch import WatchEvents


class NoAlerts:
    """Nothing that a viewer could do about any."""

    news = None

    def table(self) -> dict[str, Any]:
        return {}


NO_ALERTS = NoAlerts()


def viewer(*vendors: str, tenant: str = "t1") -> Principal:
    return Principal("s", "dispatcher", tenant, frozenset(vendors), None, None, 2**53)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """What was asked of the store; the tenant ``away`` cannot be asked for."""
    asked: list[tuple[str, set[str]]] = []

    async def ensure(db: Any, tenant: str, vendors: Any) -> None:
        asked.append((tenant, set(vendors)))
        if tenant == "away":
            raise Refused(Code.UNAVAILABLE, "the storage is unavailable, try again", retry_after_s=1)

    monkeypatch.setattr(watch.tenants, "ensure_vendors", ensure)
    return asked


async def test_the_store_is_asked_for_vendors_that_were_not_seen_yet(made: list[Any]) -> None:
    events = WatchEvents(*cast(Any, (None, None, None, 1, lambda: 0, NO_ALERTS)), links=cast(Any, None))
    for principal in (viewer("a"), viewer("a"), viewer("a", "b"), viewer("b"), viewer("b", tenant="t2")):
        await events.admit(principal, "127.0.0.1", "")
    assert made == [("t1", {"a"}), ("t1", {"a", "b"}), ("t2", {"b"})]


async def test_what_could_not_be_made_is_tried_again(made: list[Any]) -> None:
    events = WatchEvents(*cast(Any, (None, None, None, 1, lambda: 0, NO_ALERTS)), links=cast(Any, None))
    for _ in range(2):
        with pytest.raises(Refused, match="unavailable"):
            await events.admit(viewer("a", tenant="away"), "127.0.0.1", "")
    assert len(made) == 2


async def test_no_more_than_so_many_vendors_are_remembered(made: list[Any]) -> None:
    events = WatchEvents(
        *cast(Any, (None, None, None, 1, lambda: 0, NO_ALERTS)),
        links=cast(Any, None),
        max_vendors_remembered=3,
    )
    for number in range(10):
        await events.admit(viewer(f"v{number}"), "127.0.0.1", "")
        assert len(events._made) <= 3
