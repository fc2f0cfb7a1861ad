-- Timers are due by Postgres' clock.

-- name: put
INSERT INTO safety_timers (timer_id, tenant_id, vendor_id, driver_id, journey_id, kind, due_ms, state, timer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (timer_id) DO UPDATE
SET due_ms = excluded.due_ms, state = excluded.state, timer = excluded.timer, written_ms = now_ms()

-- name: lock
SELECT timer FROM safety_timers WHERE timer_id = $1 FOR UPDATE

-- name: lock_due
SELECT timer, now_ms() AS now_ms
FROM safety_timers
WHERE timer_id = $1 AND state IN ('armed', 'held') AND (due_ms <= now_ms() OR written_ms > now_ms() + 5000)
FOR UPDATE SKIP LOCKED

-- name: is_due
SELECT EXISTS (
    SELECT FROM safety_timers
    WHERE timer_id = $1 AND state IN ('armed', 'held') AND (due_ms <= now_ms() OR written_ms > now_ms() + 5000))

-- name: lock_of
-- In one order, so that two at once cannot deadlock.
SELECT timer
FROM safety_timers
WHERE tenant_id = $1 AND driver_id = $2
  AND ($3::uuid IS NULL OR timer_id = $3)
  AND ($4::uuid IS NULL OR journey_id = $4)
  AND state IN ('armed', 'held', 'fired')
ORDER BY timer_id
FOR UPDATE

-- name: lock_held
SELECT timer FROM safety_timers WHERE tenant_id = $1 AND state = 'held' ORDER BY timer_id FOR UPDATE

-- name: count_live
SELECT count(*) FROM safety_timers WHERE tenant_id = $1 AND driver_id = $2 AND state IN ('armed', 'held')

-- name: list
SELECT timer
FROM safety_timers
WHERE ($1::text[] IS NULL OR vendor_id = ANY ($1))
  AND ($2::text IS NULL OR driver_id = $2)
  AND ($3::text[] IS NULL OR state = ANY ($3))
ORDER BY created_ms DESC, timer_id
LIMIT $4

-- name: due
-- And those that were written in what is now the future.
SELECT timer_id, tenant_id, vendor_id, driver_id, kind, due_ms
FROM safety_timers
WHERE state IN ('armed', 'held') AND due_ms <= now_ms()
UNION
SELECT timer_id, tenant_id, vendor_id, driver_id, kind, due_ms
FROM safety_timers
WHERE state IN ('armed', 'held') AND written_ms > now_ms() + 5000
ORDER BY due_ms
LIMIT $1

-- name: put_off
UPDATE safety_timers SET due_ms = now_ms() + $2 WHERE timer_id = $1

-- name: lock_hold
-- Held until commit: transactions that decide on the tenant's hold run one after another, and see each other's.
SELECT pg_advisory_xact_lock(hashtextextended('hold of ' || $1, 0))

-- name: held_until
-- The end of the tenant's hold that is under way.
SELECT min(due_ms) FROM safety_timers WHERE tenant_id = $1 AND state = 'held' AND due_ms > now_ms()

-- name: sign
-- The driver's active journey, or the one asked for while it is active, and its last point.
SELECT j.journey_id, p.seq, p.received_ms, q.lat, q.lon, q.accuracy_m::text::float8 AS accuracy_m, q.t_ms,
       q.battery_pct::text::float8 AS battery_pct
FROM journeys j
LEFT JOIN LATERAL (
    SELECT seq, received_ms FROM journey_points WHERE journey_id = j.journey_id ORDER BY seq DESC LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT lat, lon, accuracy_m, t_ms, battery_pct
    FROM journey_points
    WHERE journey_id = j.journey_id AND seq > p.seq - 50 AND lat IS NOT NULL
    ORDER BY seq DESC
    LIMIT 1
) q ON true
WHERE j.tenant_id = $1 AND j.driver_id = $2 AND j.ended_ms IS NULL AND ($3::uuid IS NULL OR j.journey_id = $3)
ORDER BY j.journey_id DESC
LIMIT 1

-- name: has_ended
-- By its driver: one that was closed for its age has not arrived anywhere.
SELECT EXISTS (
    SELECT FROM journeys WHERE tenant_id = $1 AND driver_id = $2 AND journey_id = $3 AND ended_ms IS NOT NULL
                           AND NOT expired)

-- name: last_heard
-- When each driver on an active journey of the tenant was last heard of.
SELECT coalesce(p.received_ms, j.created_ms) AS heard_ms
FROM journeys j
LEFT JOIN LATERAL (
    SELECT received_ms FROM journey_points WHERE journey_id = j.journey_id ORDER BY seq DESC LIMIT 1
) p ON true
WHERE j.tenant_id = $1 AND j.ended_ms IS NULL AND j.driver_id <> $2
LIMIT $3

-- name: beat
-- A process that was away for longer than $2 begins a stretch of its own.
WITH kept AS (
    UPDATE ingest_uptime
    SET until_ms = now_ms()
    WHERE process = $1 AND until_ms BETWEEN now_ms() - $2::bigint AND now_ms()
    RETURNING 1
)
INSERT INTO ingest_uptime (process, from_ms, until_ms)
SELECT $1, now_ms(), now_ms() WHERE NOT EXISTS (SELECT FROM kept)
ON CONFLICT DO NOTHING

-- name: uptime
SELECT from_ms, until_ms FROM ingest_uptime WHERE until_ms >= $1

-- name: forget_uptime
DELETE FROM ingest_uptime WHERE until_ms < now_ms() - $1::bigint
