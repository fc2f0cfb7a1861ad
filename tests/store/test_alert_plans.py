"""What the pollers touch: with ten thousand alerts that are over, only the few that wait."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from realtime.store.alerts import reads, rows, timers
from realtime.store.db.database import Database

FILL = """
WITH made AS (
    INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, kind, state, drill, raised_ms, closed_ms,
                        version, alert, policy_copy)
    SELECT gen_random_uuid(), 't1', 'north', 'd' || n, 'sos', 'resolved', false, n, n, 1, '{}', '{}'
    FROM generate_series(1, 10000) n
    RETURNING alert_id
)
INSERT INTO alert_attempts (attempt_id, alert_id, tenant_id, channel, status, urgency, due_ms, provider,
                            provider_id, attempt)
SELECT gen_random_uuid(), alert_id, 't1', 'sms', 'delivered', 0, 1, 'twilio', alert_id::text, '{}' FROM made
"""
NO_LANES: tuple[list[str], ...] = ([], [], [], [])
DONE_TIMERS = """
INSERT INTO safety_timers (timer_id, tenant_id, vendor_id, driver_id, kind, due_ms, state, timer)
SELECT gen_random_uuid(), 't1', 'north', 'd1', 'check_in', n, 'done', '{}' FROM generate_series(1, 10000) n
"""


def rows_read(plan: dict[str, Any]) -> int:
    """Rows that were taken from tables, those thrown away included."""
    inner = sum(rows_read(child) for child in plan.get("Plans", []))
    if "Relation Name" not in plan:
        return inner
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return inner + int((plan["Actual Rows"] + removed) * plan["Actual Loops"])


@pytest.mark.parametrize(
    ("query", "args"),
    [
        (rows.SQL["claimable"], (["sms", "push"], [16, 4], [False, True], [uuid4()], *NO_LANES)),
        (rows.SQL["due_alerts"], (["sms"], 50, [], [uuid4()])),
        (rows.SQL["anything_due"], ()),
        (rows.SQL["look_all"], ([uuid4()],)),
        (rows.SQL["attempts_of_all"], ([uuid4()],)),
        (rows.SQL["open_of"], ("t1", "d77", False)),
        (rows.SQL["situation"], ("t1", "d77", uuid4(), uuid4(), False)),
        (rows.SQL["of_provider_id"], ("twilio", "SM1")),
        (rows.SQL["lock"], (uuid4(),)),
        (rows.SQL["lock_attempts"], (uuid4(),)),
        (rows.SQL["of_press"], ("t1", "d77", uuid4(), uuid4())),
        (reads._SQL["changed"], (10**12, 50)),
        (timers.SQL["due"], (50,)),
        (timers.SQL["held_until"], ("t1",)),
    ],
)
async def test_a_poller_reads_only_what_waits(db: Database, query: str, args: tuple[Any, ...]) -> None:
    async with db.writer() as connection:
        for table, key in (("tenants", "tenant_id"), ("vendors", "tenant_id, vendor_id")):
            values = "'t1'" if table == "tenants" else "'t1', 'north'"
            await connection.execute(f"INSERT INTO {table} ({key}) VALUES ({values})")
        await connection.execute(
            "INSERT INTO drivers (tenant_id, vendor_id, driver_id) VALUES ('t1', 'north', 'd1')"
        )
        await connection.execute(FILL)
        await connection.execute(DONE_TIMERS)
    async with db._pool.acquire() as connection:
        await connection.execute("ANALYZE alerts, alert_attempts, safety_timers")
    async with db.writer() as connection:
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT json) {query}", *args)
    plan = msgspec.json.decode(text)[0]["Plan"]
    assert rows_read(plan) <= 5
