-- Seqs are 1..n without a hole, so a page is a range: whatever plan is chosen for a partition that has no
-- statistics yet, no more than a page is touched.
-- Reals go out through their shortest text: 13.4 comes back as 13.4, not as 13.399999618530273.

-- name: after
SELECT seq, t_ms, lat, lon, speed_mps::text::float8, heading_deg::text::float8, accuracy_m::text::float8,
       altitude_m::text::float8, battery_pct::text::float8
FROM {points}
WHERE tenant_id = $1 AND journey_id = $2 AND seq > $3 AND seq <= $3::bigint + $4
ORDER BY seq
LIMIT $4

-- name: records_after
SELECT seq, t_ms, lat, lon, speed_mps::text::float8, heading_deg::text::float8, accuracy_m::text::float8,
       altitude_m::text::float8, battery_pct::text::float8, received_ms, void_reason, clock_odd
FROM {points}
WHERE tenant_id = $1 AND journey_id = $2 AND seq > $3 AND seq <= $3::bigint + $4
ORDER BY seq
LIMIT $4

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM journey_points WHERE tenant_id = $1 AND journey_id = $2

-- name: last_before
-- $3: ms. The last position that had arrived before $3, or one after it: the last before the first that arrived and,
-- by the phone's clock, was taken no earlier. A clock that steps back moves neither.
WITH arrived AS (
    SELECT coalesce((
        SELECT seq FROM journey_points
        WHERE tenant_id = $1 AND journey_id = $2 AND received_ms < $3 AND lat IS NOT NULL AND lon IS NOT NULL
        ORDER BY seq DESC
        LIMIT 1), 0) AS seq
)
SELECT coalesce((
    SELECT before.seq FROM journey_points before
    WHERE before.tenant_id = $1 AND before.journey_id = $2 AND before.lat IS NOT NULL AND before.lon IS NOT NULL
      AND before.seq < (
        SELECT p.seq FROM journey_points p
        WHERE p.tenant_id = $1 AND p.journey_id = $2 AND p.seq > (SELECT seq FROM arrived) AND p.t_ms >= $3
        ORDER BY p.seq
        LIMIT 1)
    ORDER BY before.seq DESC
    LIMIT 1), (SELECT seq FROM arrived))

-- name: last_seqs
-- $3 and $4, the least and the greatest id asked for, leave the other days' partitions out of the plan.
SELECT wanted.journey_id, last.seq
FROM unnest($1::text[], $2::uuid[]) wanted (tenant_id, journey_id)
CROSS JOIN LATERAL (
    SELECT seq
    FROM journey_points p
    WHERE p.journey_id = wanted.journey_id AND p.journey_id BETWEEN $3 AND $4
      AND p.tenant_id = wanted.tenant_id
    ORDER BY seq DESC
    LIMIT 1
) last

-- name: latest_of_vendor
-- The rule of realtime/live/precedence.py: of a journey the last position by seq; of a driver's journeys an open one
-- first, then the one whose position arrived last.
SELECT DISTINCT ON (j.driver_id)
       j.driver_id, j.journey_id, p.received_ms, j.ended_ms IS NOT NULL AS ended,
       p.seq, p.t_ms, p.lat, p.lon, p.speed_mps::text::float8, p.heading_deg::text::float8,
       p.accuracy_m::text::float8, p.altitude_m::text::float8, p.battery_pct::text::float8
FROM journeys j
CROSS JOIN LATERAL (
    SELECT *
    FROM journey_points
    WHERE tenant_id = j.tenant_id AND journey_id = j.journey_id AND journey_id >= $3
      AND lat IS NOT NULL AND lon IS NOT NULL AND NOT (abs(lat) < 0.01 AND abs(lon) < 0.01)
    ORDER BY seq DESC
    LIMIT 1
) p
WHERE j.tenant_id = $1 AND j.vendor_id = $2 AND j.journey_id >= $3
ORDER BY j.driver_id, j.ended_ms IS NOT NULL, p.received_ms DESC, j.journey_id DESC

-- name: latest_of_driver
-- The same of one driver of the vendor.
SELECT j.driver_id, j.journey_id, p.received_ms, j.ended_ms IS NOT NULL AS ended,
       p.seq, p.t_ms, p.lat, p.lon, p.speed_mps::text::float8, p.heading_deg::text::float8,
       p.accuracy_m::text::float8, p.altitude_m::text::float8, p.battery_pct::text::float8
FROM journeys j
CROSS JOIN LATERAL (
    SELECT *
    FROM journey_points
    WHERE tenant_id = j.tenant_id AND journey_id = j.journey_id AND journey_id >= $3
      AND lat IS NOT NULL AND lon IS NOT NULL AND NOT (abs(lat) < 0.01 AND abs(lon) < 0.01)
    ORDER BY seq DESC
    LIMIT 1
) p
WHERE j.tenant_id = $1 AND j.vendor_id = $2 AND j.journey_id >= $3 AND j.driver_id = $4
ORDER BY j.ended_ms IS NOT NULL, p.received_ms DESC, j.journey_id DESC
LIMIT 1
