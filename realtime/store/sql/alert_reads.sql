-- The queries as the reader begin with the tenant as $1: they say whose rows they mean, whatever the role sees.

-- name: get
-- Also by the id that a press promised before it joined another; of a drill and an SOS that were promised it the SOS.
SELECT alert, policy_copy
FROM alerts
WHERE tenant_id = $1
  AND alert_id = coalesce(
      (SELECT p.alert_id FROM alert_presses p JOIN alerts a USING (tenant_id, driver_id, alert_id)
       WHERE p.tenant_id = $1 AND p.own_alert_id = $2 ORDER BY a.drill LIMIT 1), $2)

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
-- The newest first, before the attempt that $3 and $4 name.
SELECT attempt
FROM alert_attempts
WHERE tenant_id = $1 AND alert_id = $2
  AND ($3::bigint IS NULL OR ((attempt ->> 'created_ms')::bigint, attempt_id) < ($3, $4::uuid))
ORDER BY (attempt ->> 'created_ms')::bigint DESC, attempt_id DESC
LIMIT $5

-- name: furthest
-- Of the messages of one purpose $3 the one that came furthest, of each contact and channel; $4: statuses, the one
-- that is furthest last. In the order in which each was first tried.
SELECT attempt
FROM (
    SELECT DISTINCT ON (attempt ->> 'contact_id', channel)
           attempt, attempt_id,
           min((attempt ->> 'created_ms')::bigint) OVER (PARTITION BY attempt ->> 'contact_id', channel) AS first_ms
    FROM alert_attempts
    WHERE tenant_id = $1 AND alert_id = $2 AND attempt ->> 'purpose' = $3
    ORDER BY attempt ->> 'contact_id', channel, array_position($4::text[], status) DESC NULLS LAST,
             (attempt ->> 'created_ms')::bigint, attempt_id
) reached
ORDER BY first_ms, attempt_id
LIMIT $5

-- name: events
-- The newest first, before the event $3.
SELECT event_id, version, at_ms, actor, what, arrow, detail
FROM alert_events
WHERE tenant_id = $1 AND alert_id = $2 AND ($3::bigint IS NULL OR event_id < $3)
ORDER BY event_id DESC
LIMIT $4

-- name: presses
-- The newest first.
SELECT press
FROM alert_presses
WHERE tenant_id = $1 AND alert_id = $2
ORDER BY received_ms DESC, sos_id DESC
LIMIT $3

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
