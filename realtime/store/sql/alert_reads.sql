-- name: get
-- Also by the id that a press promised before it joined another alert.
SELECT alert, policy_copy
FROM alerts
WHERE alert_id = coalesce((SELECT alert_id FROM alert_presses WHERE own_alert_id = $1 LIMIT 1), $1)

-- name: list
SELECT alert
FROM alerts
WHERE ($1::text[] IS NULL OR vendor_id = ANY ($1))
  AND ($2::text IS NULL OR driver_id = $2)
  AND ($3::text[] IS NULL OR state = ANY ($3))
  AND ($4::bigint IS NULL OR raised_ms >= $4)
  AND ($5::bigint IS NULL OR (raised_ms, alert_id) < ($5, $6::uuid))
ORDER BY raised_ms DESC, alert_id DESC
LIMIT $7

-- name: open
SELECT alert
FROM alerts
WHERE closed_ms IS NULL
  AND ($1::text IS NULL OR vendor_id = $1)
  AND ($2::text IS NULL OR driver_id = $2)
  AND ($3::uuid IS NULL OR journey_id = $3)
ORDER BY raised_ms, alert_id
LIMIT $4

-- name: attempts
SELECT attempt FROM alert_attempts WHERE alert_id = $1 LIMIT $2

-- name: events
SELECT version, at_ms, actor, what, arrow, detail FROM alert_events WHERE alert_id = $1 ORDER BY event_id LIMIT $2

-- name: presses
SELECT press FROM alert_presses WHERE alert_id = $1 ORDER BY received_ms, sos_id LIMIT $2

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
