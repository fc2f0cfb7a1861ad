-- Run as the writer. Seqs are 1..n without a hole, so what is missing of a journey is what is above the last copied.

-- name: alerted
-- Journeys minted from $1 to before $2 that belong to an alert, drills apart, and the last seq that is copied.
WITH alerted AS (
    SELECT journey_id FROM alerts WHERE journey_id >= $1 AND journey_id < $2 AND NOT drill
    UNION
    SELECT (p.press ->> 'journey_id')::uuid
    FROM alert_presses p JOIN alerts a USING (alert_id)
    WHERE NOT a.drill AND p.received_ms >= $3
      AND (p.press ->> 'journey_id')::uuid >= $1 AND (p.press ->> 'journey_id')::uuid < $2
)
SELECT j.journey_id, j.tenant_id,
       coalesce((SELECT max(i.seq) FROM incident_points i WHERE i.journey_id = j.journey_id), 0) AS copied
FROM alerted JOIN journeys j USING (journey_id)
ORDER BY 1

-- name: copy
-- Up to $3 points of journey $1 above seq $2; gives the last seq copied.
WITH copied AS (
    INSERT INTO incident_points
    SELECT * FROM {source} WHERE journey_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
    ON CONFLICT DO NOTHING
    RETURNING seq
)
SELECT max(seq) FROM copied

-- name: uncopied
-- How many points of these journeys are in {source} and not copied.
SELECT count(*)
FROM {source} p
LEFT JOIN incident_points i USING (journey_id, seq)
WHERE p.journey_id = ANY ($1::uuid[]) AND i.seq IS NULL

-- name: past
-- Journeys whose points need not be kept: no alert of theirs is open or was closed after $1.
SELECT DISTINCT i.journey_id
FROM incident_points i
WHERE i.seq = 1 AND NOT EXISTS (
    SELECT FROM alerts a
    WHERE a.journey_id = i.journey_id AND (a.closed_ms IS NULL OR a.closed_ms >= $1)
) AND NOT EXISTS (
    SELECT FROM alert_presses p JOIN alerts a USING (alert_id)
    WHERE p.press ->> 'journey_id' = i.journey_id::text AND (a.closed_ms IS NULL OR a.closed_ms >= $1)
)
LIMIT $2

-- name: forget_points
DELETE FROM incident_points WHERE journey_id = $1

-- name: forget_alerts
WITH gone AS (
    DELETE FROM alerts WHERE alert_id IN (SELECT alert_id FROM alerts WHERE closed_ms < $1 LIMIT $2) RETURNING 1
)
SELECT count(*) FROM gone
