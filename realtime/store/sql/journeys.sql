-- name: head
SELECT journey_id, tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired,
       (SELECT coalesce(max(seq), 0) FROM journey_points WHERE tenant_id = $1 AND journey_id = $2) AS last_seq
FROM journeys
WHERE tenant_id = $1 AND journey_id = $2

-- name: known
SELECT journey_id FROM journeys WHERE tenant_id = $1 AND driver_id = $2 AND client_journey_id = $3

-- name: insert
INSERT INTO journeys (tenant_id, driver_id, client_journey_id, vendor_id, journey_id, created_ms, started_ms,
                      vehicle, destination, route)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, driver_id, client_journey_id) DO NOTHING
RETURNING journey_id, tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired, 0 AS last_seq

-- name: end
-- Not in the future, by whichever clock: a live link shows the place for some minutes more (`liveplaces`).
UPDATE journeys
SET ended_ms = least($4, now_ms()),
    final_seq = greatest($5, (
        SELECT coalesce(max(seq), 0) FROM journey_points WHERE tenant_id = $1 AND journey_id = $3))
WHERE tenant_id = $1 AND driver_id = $2 AND journey_id = $3 AND ended_ms IS NULL

-- name: head_of_driver
SELECT journey_id, tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired,
       (SELECT coalesce(max(seq), 0) FROM journey_points WHERE tenant_id = $1 AND journey_id = $3) AS last_seq
FROM journeys
WHERE tenant_id = $1 AND driver_id = $2 AND journey_id = $3

-- name: expire
UPDATE journeys j
SET expired = true, ended_ms = now_ms(), final_seq = overdue.last_seq
FROM (
    SELECT o.tenant_id, o.journey_id,
           (SELECT coalesce(max(p.seq), 0)
            FROM journey_points p
            WHERE p.tenant_id = o.tenant_id AND p.journey_id = o.journey_id) AS last_seq
    FROM journeys o
    WHERE o.created_ms < $1 AND o.ended_ms IS NULL
    FOR UPDATE SKIP LOCKED
) overdue
WHERE j.tenant_id = overdue.tenant_id AND j.journey_id = overdue.journey_id
RETURNING j.journey_id, j.tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired, last_seq

-- name: get
SELECT journey_id, tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired,
       (SELECT coalesce(max(seq), 0) FROM journey_points WHERE tenant_id = $1 AND journey_id = $2) AS last_seq,
       client_journey_id, started_ms, vehicle, destination, route
FROM journeys
WHERE tenant_id = $1 AND journey_id = $2

-- name: list
SELECT journey_id, tenant_id, vendor_id, driver_id, created_ms, ended_ms, final_seq, expired,
       client_journey_id, started_ms, vehicle, NULL AS destination, NULL AS route
FROM journeys
WHERE tenant_id = $1 AND journey_id >= $2 AND journey_id < $3
  AND ($4::text[] IS NULL OR vendor_id = ANY ($4))
  AND ($5::text IS NULL OR driver_id = $5)
ORDER BY journey_id DESC
LIMIT $6

-- name: closed_among
SELECT j.journey_id, j.driver_id, j.ended_ms, j.expired
FROM unnest($1::text[], $2::uuid[]) wanted (tenant_id, journey_id)
JOIN journeys j USING (tenant_id, journey_id)
WHERE j.ended_ms IS NOT NULL

-- name: drivers_under_way
-- A journey is closed at a certain age: older ones than $4 need not be read.
SELECT DISTINCT driver_id
FROM journeys
WHERE tenant_id = $1 AND vendor_id = $2 AND driver_id = ANY ($3::text[]) AND journey_id >= $4 AND ended_ms IS NULL
