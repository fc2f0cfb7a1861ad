-- The queries as the reader begin with the tenant as $1: they say whose rows they mean, whatever the role sees.

-- name: get
-- Also by the id that a press promised before it joined another.
SELECT alert, policy_copy
FROM alerts
WHERE tenant_id = $1
  AND alert_id = coalesce(
      (SELECT alert_id FROM alert_presses WHERE tenant_id = $1 AND own_alert_id = $2 LIMIT 1), $2)

-- name: list
SELECT alert
FROM alerts
WHERE tenant_id = $1
  AND ($2::text[] IS NULL OR vendor_id = ANY ($2))
  AND ($3::text IS NULL OR driver_id = $3)
  AND ($4::text[] IS NULL OR state = ANY ($4))
  AND ($5::bigint IS NULL OR raised_ms >= $5)
  AND ($6::bigint IS NULL OR (raised_ms, alert_id) < ($6, $7::uuid))
ORDER BY raised_ms DESC, alert_id DESC
LIMIT $8

-- name: open
SELECT alert
FROM alerts
WHERE tenant_id = $1
  AND closed_ms IS NULL
  AND ($2::text IS NULL OR vendor_id = $2)
  AND ($3::text IS NULL OR driver_id = $3)
  AND ($4::uuid IS NULL OR journey_id = $4)
ORDER BY raised_ms, alert_id
LIMIT $5

-- name: attempts
SELECT attempt FROM alert_attempts WHERE tenant_id = $1 AND alert_id = $2 LIMIT $3

-- name: events
SELECT version, at_ms, actor, what, arrow, detail
FROM alert_events
WHERE tenant_id = $1 AND alert_id = $2
ORDER BY event_id
LIMIT $3

-- name: presses
SELECT press FROM alert_presses WHERE tenant_id = $1 AND alert_id = $2 ORDER BY received_ms, sos_id LIMIT $3

-- name: horizon
-- The transactions from here on may not have ended: whatever they change is seen by a later look only.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: changed
-- Of all tenants. In the order of the transactions that changed them, so that a full page can be gone on from.
SELECT alert, changed_by::text::bigint AS changed_by
FROM alerts
WHERE changed_by >= $1::bigint::text::xid8
ORDER BY changed_by
LIMIT $2

-- name: open_written
-- Of all tenants.
SELECT alert_id, written_ms, now_ms() AS now_ms
FROM alerts
WHERE closed_ms IS NULL
ORDER BY raised_ms DESC
LIMIT $1

-- name: every_open
-- Of all tenants.
SELECT alert FROM alerts WHERE closed_ms IS NULL ORDER BY raised_ms LIMIT $1
