-- name: open_journeys
-- Of all tenants.
SELECT tenant_id, vendor_id, driver_id, journey_id, started_ms, vehicle
FROM journeys
WHERE ended_ms IS NULL
ORDER BY created_ms DESC
LIMIT $1

-- name: open_alerts
-- Of all tenants.
SELECT alert FROM alerts WHERE closed_ms IS NULL ORDER BY raised_ms DESC LIMIT $1
