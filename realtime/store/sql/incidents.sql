-- Run as the writer. Seqs are 1..n without a hole, so what is missing of a journey is what is above the last copied.
-- A phone names the journey of an alert. So an alert counts for a journey of its own tenant and driver alone: that
-- of another, which names the same id, neither copies its points nor prolongs their keeping.

-- name: alerted
-- Journeys minted from $1 to before $2 that belong to an alert, drills apart, and the last seq that is copied.
WITH alerted AS (
    SELECT tenant_id, driver_id, journey_id
    FROM alerts
    WHERE journey_id >= $1 AND journey_id < $2 AND NOT drill
    UNION
    SELECT tenant_id, driver_id, (p.press ->> 'journey_id')::uuid
    FROM alert_presses p JOIN alerts a USING (tenant_id, driver_id, alert_id)
    WHERE NOT a.drill AND p.received_ms >= $3
      AND (p.press ->> 'journey_id')::uuid >= $1 AND (p.press ->> 'journey_id')::uuid < $2
)
SELECT j.tenant_id, j.journey_id,
       coalesce((
           SELECT max(i.seq) FROM incident_points i
           WHERE i.tenant_id = j.tenant_id AND i.journey_id = j.journey_id), 0) AS copied
FROM alerted JOIN journeys j USING (tenant_id, driver_id, journey_id)
ORDER BY 2

-- name: copy
-- Up to $4 points of journey $2 of tenant $1 above seq $3; gives the last seq copied.
WITH copied AS (
    INSERT INTO incident_points
    SELECT * FROM {source} WHERE tenant_id = $1 AND journey_id = $2 AND seq > $3 ORDER BY seq LIMIT $4
    ON CONFLICT DO NOTHING
    RETURNING seq
)
SELECT max(seq) FROM copied

-- name: uncopied
-- How many points of these journeys are in {source} and not copied.
SELECT count(*)
FROM unnest($1::text[], $2::uuid[]) AS alerted (tenant_id, journey_id)
JOIN {source} p USING (tenant_id, journey_id)
LEFT JOIN incident_points i USING (tenant_id, journey_id, seq)
WHERE i.received_ms IS NULL

-- name: past
-- Journeys whose points need not be kept: no alert of theirs is open or was closed after $1.
SELECT i.tenant_id, i.journey_id
FROM incident_points i
LEFT JOIN journeys j USING (tenant_id, journey_id)
WHERE i.seq = 1 AND NOT EXISTS (
    SELECT FROM alerts a
    WHERE a.tenant_id = j.tenant_id AND a.driver_id = j.driver_id AND a.journey_id = j.journey_id
      AND (a.closed_ms IS NULL OR a.closed_ms >= $1)
) AND NOT EXISTS (
    SELECT FROM alert_presses p JOIN alerts a USING (tenant_id, driver_id, alert_id)
    WHERE p.tenant_id = j.tenant_id AND p.driver_id = j.driver_id
      AND p.press ->> 'journey_id' = j.journey_id::text AND (a.closed_ms IS NULL OR a.closed_ms >= $1)
)
LIMIT $2

-- name: forget_points
DELETE FROM incident_points WHERE tenant_id = $1 AND journey_id = $2

-- name: forget_alerts
WITH gone AS (
    DELETE FROM alerts
    WHERE (tenant_id, driver_id, alert_id) IN (
        SELECT tenant_id, driver_id, alert_id FROM alerts WHERE closed_ms < $1 LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) FROM gone
