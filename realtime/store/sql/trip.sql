-- name: get
-- When they mean to be there: the earliest that they gave for this journey, while somebody waits for it.
SELECT j.destination, s.name, s.phone,
       (SELECT min((t.timer ->> 'by_ms')::bigint)
        FROM safety_timers t
        WHERE t.tenant_id = j.tenant_id AND t.driver_id = j.driver_id AND t.journey_id = j.journey_id
          AND t.kind = 'arrive_by' AND t.state IN ('armed', 'held', 'fired')) AS arrive_by_ms
FROM journeys j
LEFT JOIN driver_safety s USING (tenant_id, driver_id)
WHERE j.tenant_id = $1 AND j.journey_id = $2
