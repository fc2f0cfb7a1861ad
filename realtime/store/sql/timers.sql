-- Timers are due by Postgres' clock.

-- name: put
-- A timer stays with its tenant and driver, whatever its id.
INSERT INTO safety_timers (timer_id, tenant_id, vendor_id, driver_id, journey_id, kind, due_ms, state, timer)
SELECT timer_id, tenant_id, vendor_id, driver_id, journey_id, kind, due_ms, state, timer::json
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::bigint[], $8::text[],
            $9::text[])
     AS given (timer_id, tenant_id, vendor_id, driver_id, journey_id, kind, due_ms, state, timer)
ON CONFLICT (timer_id) DO UPDATE
SET due_ms = excluded.due_ms, state = excluded.state, timer = excluded.timer, journey_id = excluded.journey_id,
    written_ms = now_ms()
WHERE safety_timers.tenant_id = excluded.tenant_id AND safety_timers.driver_id = excluded.driver_id

-- name: lock
SELECT timer FROM safety_timers WHERE timer_id = $1 AND tenant_id = $2 AND driver_id = $3 FOR UPDATE

-- name: lock_due
-- Of these timers those that are due and that no other transaction has.
SELECT timer_id, timer, now_ms() AS now_ms
FROM safety_timers
WHERE timer_id = ANY ($1::uuid[]) AND state IN ('armed', 'held')
  AND (due_ms <= now_ms() OR written_ms > now_ms() + 5000)
ORDER BY tenant_id, driver_id, timer_id
FOR UPDATE SKIP LOCKED

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

-- name: page
SELECT timer, created_ms
FROM safety_timers
WHERE tenant_id = $1
  AND ($2::text[] IS NULL OR vendor_id = ANY ($2))
  AND ($3::text IS NULL OR driver_id = $3)
  AND ($4::text[] IS NULL OR state = ANY ($4))
  AND ($5::bigint IS NULL OR (created_ms, timer_id) < ($5, $6::uuid))
ORDER BY created_ms DESC, timer_id DESC
LIMIT $7

-- name: live
SELECT timer FROM safety_timers WHERE tenant_id = $1 AND timer_id = $2 AND state IN ('armed', 'held')

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
UPDATE safety_timers SET due_ms = now_ms() + $2 WHERE timer_id = ANY ($1::uuid[])

-- name: lock_hold
-- Held until commit: transactions that decide on the tenant's hold run one after another, and see each other's.
SELECT pg_advisory_xact_lock(hashtextextended('hold of ' || $1, 0))

-- name: held_until
-- The end of the tenant's hold that is under way.
SELECT min(due_ms) FROM safety_timers WHERE tenant_id = $1 AND state = 'held' AND due_ms > now_ms()

-- name: signs
-- Of each driver the active journey, or the one asked for while it is active, and its last point.
SELECT asked.place, j.journey_id, p.seq, p.received_ms, q.lat, q.lon, q.accuracy_m::text::float8 AS accuracy_m,
       q.t_ms, q.battery_pct::text::float8 AS battery_pct
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS asked (tenant_id, driver_id, journey_id, place)
CROSS JOIN LATERAL (
    SELECT tenant_id, journey_id
    FROM journeys
    WHERE tenant_id = asked.tenant_id AND driver_id = asked.driver_id AND ended_ms IS NULL
      AND (asked.journey_id IS NULL OR journey_id = asked.journey_id)
    ORDER BY journey_id DESC
    LIMIT 1
) j
LEFT JOIN LATERAL (
    SELECT seq, received_ms
    FROM journey_points
    WHERE journey_id = j.journey_id AND tenant_id = j.tenant_id
    ORDER BY seq DESC
    LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT lat, lon, accuracy_m, t_ms, battery_pct
    FROM journey_points
    WHERE journey_id = j.journey_id AND tenant_id = j.tenant_id AND seq > p.seq - 50
      AND lat IS NOT NULL AND lon IS NOT NULL AND NOT (abs(lat) < 0.01 AND abs(lon) < 0.01)
    ORDER BY seq DESC
    LIMIT 1
) q ON true

-- name: journeys
-- Of these journeys those that are the driver's, and whether the driver has ended them: one that was closed for its
-- age has not arrived anywhere.
SELECT asked.place, j.ended_ms IS NOT NULL AND NOT j.expired AS has_ended
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS asked (tenant_id, driver_id, journey_id, place)
JOIN journeys j ON j.tenant_id = asked.tenant_id AND j.driver_id = asked.driver_id
               AND j.journey_id = asked.journey_id

-- name: last_heard
-- When each driver on an active journey of the tenant was last heard of.
SELECT j.driver_id, coalesce(p.received_ms, j.created_ms) AS heard_ms
FROM journeys j
LEFT JOIN LATERAL (
    SELECT received_ms
    FROM journey_points
    WHERE journey_id = j.journey_id AND tenant_id = j.tenant_id
    ORDER BY seq DESC
    LIMIT 1
) p ON true
WHERE j.tenant_id = $1 AND j.ended_ms IS NULL
LIMIT $2

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
