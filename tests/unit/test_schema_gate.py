"""The poll of the schema gate on a database that fails in unexpected ways. Pure."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import asyncpg
import pytest

from realtime.store.db.migration import migrations
from realtime.store.db.schema import SchemaGate

RECORD = [{"number": m.number, "name": m.name, "sha256": m.checksum} for m in migrations()]

PRESENT = [{"has_record": True, "has_tables": True}]


class Connection:
    """Raises the errors of ``faults``, one a read; then answers with the record of this release."""

    def __init__(self, faults: list[Exception]) -> None:
        self.faults = faults

    async def execute(self, *_: object) -> None:
        """Begin, commit or roll back."""

    async def fetch(self, query: str, *_: object) -> list[dict[str, Any]]:
        if self.faults:
            raise self.faults.pop(0)
        return PRESENT if "to_regclass" in query else RECORD

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        """Break a connection that may not answer."""


class Pool:
    """One connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def acquire(self, **_: object) -> Connection:
        return self.connection

    async def release(self, *_: object, **__: object) -> None:
        """Nothing to give back."""


async def polled(faults: list[Exception], until: Callable[[SchemaGate], bool]) -> SchemaGate:
    gate = SchemaGate(cast(asyncpg.Pool, Pool(Connection(faults))), 1.0, poll_s=0.001)
    gate.start()
    try:
        async with asyncio.timeout(20):
            while not until(gate):
                await asyncio.sleep(0.001)
    finally:
        await gate.stop()
    return gate


async def test_the_poll_goes_on_after_any_error_and_the_gate_opens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    faults = [
        KeyError("sha256"),
        KeyError("sha256"),
        asyncpg.InterfaceError("secret"),
        RuntimeError("secret"),
    ]
    gate = await polled([*faults, OSError()], lambda gate: gate.is_open)
    assert gate.finding is not None and gate.finding.fits
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"schema read failed: {name}" for name in ("KeyError", "InterfaceError", "RuntimeError")]
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text
