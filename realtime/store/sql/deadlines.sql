-- Of all tenants, by Postgres' clock.

-- name: nearest
-- What fires at a time that is known beforehand; of an ended journey nothing fires. Rows without a timer tell the
-- clock alone.
WITH nearest AS (
    SELECT t.timer, t.due_ms
    FROM safety_timers t
    WHERE t.state = 'armed' AND t.kind IN ('arrive_by', 'check_in')
      AND NOT EXISTS (
          SELECT
          FROM journeys j
          WHERE j.tenant_id = t.tenant_id AND j.driver_id = t.driver_id AND j.journey_id = t.journey_id
            AND j.ended_ms IS NOT NULL
      )
    ORDER BY t.due_ms
    LIMIT $1
)
SELECT now_ms() AS now_ms, nearest.timer
FROM (SELECT 1) clock
LEFT JOIN nearest ON true
ORDER BY nearest.due_ms

-- name: one
SELECT timer FROM safety_timers WHERE tenant_id = $1 AND driver_id = $2 AND timer_id = $3
