"""A hub that hurries."""

from collections.abc import AsyncIterator

import pytest

from realtime.fanout import hub as hub_module
from realtime.fanout import refill
from tests.fanout.hub.kit import Here


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setattr(refill, "RETRY_S", 0.01)
    monkeypatch.setattr(hub_module, "AUDIT_S", 0.05)
    made = Here()
    yield made
    await made.hub.stop()
