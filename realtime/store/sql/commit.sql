-- name: insert_points
-- Rows sorted by the primary key, so that two instances cannot deadlock. The join with journeys is the last
-- check of whose journey it is and of where it ends; a row that fails it, or is there already, is not counted.
-- Of two rows with one key the one that came first is stored.
INSERT INTO journey_points (
    journey_id, seq, tenant_id, t_ms, received_ms, lat, lon,
    speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct, void_reason, clock_odd
)
SELECT i.journey_id, i.seq, j.tenant_id, i.t_ms, i.received_ms, i.lat, i.lon,
       i.speed_mps, i.heading_deg, i.accuracy_m, i.altitude_m, i.battery_pct, i.void_reason, i.clock_odd
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::float8[], $6::float8[], $7::real[],
            $8::real[], $9::real[], $10::real[], $11::real[], $12::text[], $13::boolean[]) WITH ORDINALITY
     AS i (journey_id, seq, t_ms, received_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m,
           battery_pct, void_reason, clock_odd, place)
JOIN (
    SELECT j.journey_id, j.tenant_id, j.final_seq
    FROM unnest($14::uuid[], $15::text[], $16::text[]) AS o (journey_id, tenant_id, driver_id)
    JOIN journeys j USING (journey_id, tenant_id, driver_id)
) j USING (journey_id)
WHERE j.final_seq IS NULL OR i.seq <= j.final_seq
ORDER BY i.journey_id, i.seq, i.place
ON CONFLICT (journey_id, seq) DO NOTHING

-- name: compare_points
-- Which of these rows, by their place from 1, are not stored as they are here. A stored void stands for whatever
-- is sent again instead; ``absent`` rows were refused by the join (not this driver's journey, or beyond its end).
SELECT i.place, p.seq IS NULL AS absent
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::float8[], $5::float8[], $6::real[], $7::real[],
            $8::real[], $9::real[], $10::real[]) WITH ORDINALITY
     AS i (journey_id, seq, t_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct, place)
LEFT JOIN (
    SELECT j.journey_id, j.tenant_id
    FROM unnest($11::uuid[], $12::text[], $13::text[]) AS o (journey_id, tenant_id, driver_id)
    JOIN journeys j USING (journey_id, tenant_id, driver_id)
) j USING (journey_id)
LEFT JOIN LATERAL (
    SELECT *
    FROM journey_points p
    WHERE p.tenant_id = j.tenant_id AND p.journey_id = i.journey_id AND p.seq = i.seq
    LIMIT 1
) p ON true
WHERE p.seq IS NULL
   OR (p.void_reason IS NULL
       AND (p.t_ms, p.lat, p.lon, p.speed_mps, p.heading_deg, p.accuracy_m, p.altitude_m, p.battery_pct)
           IS DISTINCT FROM
           (i.t_ms, i.lat, i.lon, i.speed_mps, i.heading_deg, i.accuracy_m, i.altitude_m, i.battery_pct))

-- name: write_something
-- A transaction that only found what another had stored must still wait for that to be flushed and replicated:
-- a commit waits only for a transaction that wrote.
SELECT pg_logical_emit_message(true, 'wayguard', 'replay')
