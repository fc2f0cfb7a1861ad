"""One row in each table of a tenant since migration 002, without the code that writes them."""

import asyncpg

ROWS = (
    "INSERT INTO contacts (contact_id, tenant_id, driver_id, name, created_by) "
    "VALUES (gen_random_uuid(), $1, $2, 'Ana', 'x')",
    "INSERT INTO contact_codes (contact_id, tenant_id, channel, address, code_sha256, expires_ms) "
    "SELECT contact_id, $1, 'sms', '+41790000000', '\\x00', 1 FROM contacts "
    "WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO code_sends (tenant_id, contact_id, address_sha256) "
    "SELECT $1, contact_id, '\\x00' FROM contacts "
    "WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO opt_outs (tenant_id, address_sha256) VALUES ($1, '\\x00') ON CONFLICT DO NOTHING",
    "INSERT INTO alert_policies (policy_id, tenant_id, driver_id, kind, policy, updated_by) "
    "VALUES (gen_random_uuid(), $1, $2, 'sos', '{}', 'x')",
    "INSERT INTO driver_safety (tenant_id, driver_id) VALUES ($1, $2)",
    "INSERT INTO driver_changes (tenant_id, driver_id, actor_role, actor_id, field, new_value) "
    "VALUES ($1, $2, 'dispatcher', 'x', 'name', 'Ada')",
    "INSERT INTO devices (tenant_id, push_token, subject, driver_id, role, platform) "
    "VALUES ($1, 'token ' || $2, $2, $2, 'driver', 'web')",
    "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, kind, state, drill, raised_ms, version, "
    "alert, policy_copy) "
    "VALUES (gen_random_uuid(), $1, 'north', $2, 'sos', 'active', false, 1, 1, '{}', '{}')",
    "INSERT INTO alert_presses (tenant_id, driver_id, sos_id, alert_id, own_alert_id, press, received_ms) "
    "SELECT $1, $2, gen_random_uuid(), alert_id, alert_id, '{}', 1 FROM alerts "
    "WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO alert_attempts (attempt_id, alert_id, tenant_id, channel, status, urgency, due_ms, attempt) "
    "SELECT gen_random_uuid(), alert_id, $1, 'sms', 'due', 0, 1, '{}' FROM alerts "
    "WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, detail) "
    "SELECT alert_id, $1, 1, 1, '{}', 'pressed', '{}' FROM alerts "
    "WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO safety_timers (timer_id, tenant_id, vendor_id, driver_id, kind, due_ms, state, timer) "
    "VALUES (gen_random_uuid(), $1, 'north', $2, 'check_in', 1, 'armed', '{}')",
    "INSERT INTO incident_points (journey_id, seq, tenant_id, received_ms) "
    "SELECT journey_id, 1, $1, 1 FROM journeys WHERE tenant_id = $1 AND driver_id = $2",
    "INSERT INTO pairings (tenant_id, jti, vendor_id, driver_id, expires_ms) "
    "VALUES ($1, 'pairing of ' || $2, 'north', $2, 1)",
    "INSERT INTO erasures (erasure_id, tenant_id, driver_sha256, asked_by) "
    "VALUES (gen_random_uuid(), $1, '\\x00', 'x')",
)


async def put_alert_rows(connection: asyncpg.Connection, tenant: str, driver: str) -> None:
    """Write them for ``driver`` of ``tenant``, who must have a journey, in a transaction of the writer."""
    for statement in ROWS:
        given = (tenant, driver) if "$2" in statement else (tenant,)
        await connection.execute(statement, *given)
