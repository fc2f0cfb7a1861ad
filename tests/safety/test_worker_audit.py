"""A worker audits: its operator hears what is wrong, the outside monitor that nothing is."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from realtime.monitoring.checks import SILENT_MS
from realtime.outside.sink import Sink
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.safety.test_worker import db, mail, settings

__all__ = ["db", "mail", "settings"]


@pytest.fixture
async def ops() -> AsyncIterator[Sink]:
    async with Sink(lambda name: "shared secret") as running:
        yield running


async def test_the_operator_is_called_while_nothing_is_wrong_and_told_what_is(
    settings: Settings, db: Database, ops: Sink
) -> None:
    told = settings.model_copy(
        update={
            "operator_webhook_url": ops.hook_url("ops"),
            "operator_webhook_secret": SecretStr("shared secret"),
            "heartbeat_url": f"{ops.url}/beat",
        }
    )
    async with Worker.open(told, audit_every_s=0.2):
        await until(lambda: ops.beats == 1, "the heartbeat")
        assert not ops.hooks
        async with db.writer() as connection:
            await connection.execute(
                "INSERT INTO worker_beats (process, role, beat_ms) "
                "VALUES ('worker2', 'worker', now_ms() - $1)",
                SILENT_MS + 60_000,
            )
        await until(lambda: bool(ops.hooks), "the finding")
    (hook,) = ops.hooks
    assert hook.signed
    assert [(one["kind"], one["ids"]) for one in hook.body["findings"]] == [("worker_silent", ["worker2"])]
