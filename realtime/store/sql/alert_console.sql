-- For the operator's terminal: of all tenants.

-- name: recent
SELECT alert
FROM alerts
WHERE ($1::text IS NULL OR tenant_id = $1) AND (NOT $2 OR closed_ms IS NULL)
ORDER BY raised_ms DESC, alert_id DESC
LIMIT $3

-- name: named
-- By the beginning of its id, or of the id that a press promised before it joined another alert.
SELECT tenant_id, alert_id
FROM alerts
WHERE ($1::text IS NULL OR tenant_id = $1)
  AND (starts_with(alert_id::text, $2)
       OR (tenant_id, driver_id, alert_id) IN (
           SELECT tenant_id, driver_id, alert_id FROM alert_presses WHERE starts_with(own_alert_id::text, $2)))
LIMIT 2

-- name: waits_until
SELECT next_ms, now_ms() AS now_ms FROM alerts WHERE tenant_id = $1 AND alert_id = $2
