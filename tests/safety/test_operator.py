"""The operator's webhook and heartbeat, on a receiver that checks the signature."""

import time
from collections.abc import AsyncIterator

import pytest

from realtime.monitoring.checks import Finding, FindingKind
from realtime.monitoring.operator_webhook import OperatorWebhook
from realtime.outside.sink import Sink
from realtime.outside.web import SimulatedFault, Trouble

FOUND = [Finding(FindingKind.STUCK, 2, ("a", "b"), 5)]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink(lambda name: "shared secret") as running:
        yield running


@pytest.fixture
async def operator(sink: Sink) -> AsyncIterator[OperatorWebhook]:
    made = OperatorWebhook(
        sink.hook_url("ops"), "shared secret", f"{sink.url}/beat", lambda: time.time_ns() // 10**6
    )
    yield made
    await made.close()


async def test_findings_arrive_signed(operator: OperatorWebhook, sink: Sink) -> None:
    assert await operator.tell(FOUND)
    (hook,) = sink.hooks
    assert hook.signed
    assert hook.body["type"] == "auditor"
    assert hook.body["findings"] == [{"kind": "stuck", "count": 2, "ids": ["a", "b"], "since_ms": 5}]


@pytest.mark.parametrize("trouble", [Trouble.STATUS, Trouble.DROP])
async def test_whoever_cannot_be_told_or_called_has_not_been(
    operator: OperatorWebhook, sink: Sink, trouble: Trouble
) -> None:
    sink.fault = SimulatedFault(trouble)
    assert not await operator.tell(FOUND)
    assert not await operator.call()
    sink.fault = None
    assert await operator.call()
    assert sink.beats == 1


async def test_a_receiver_with_another_secret_refuses_and_that_is_seen(sink: Sink) -> None:
    stranger = OperatorWebhook(sink.hook_url("ops"), "another", "", lambda: time.time_ns() // 10**6)
    assert not await stranger.tell(FOUND)
    assert not sink.hooks[0].signed
    await stranger.close()
