-- name: put
INSERT INTO alert_policies AS p (tenant_id, vendor_id, driver_id, kind, policy, updated_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, vendor_id, driver_id, kind) DO UPDATE
    SET policy = excluded.policy, updated_by = excluded.updated_by, updated_ms = now_ms()
RETURNING updated_ms

-- name: get
SELECT policy, updated_ms, updated_by FROM alert_policies
WHERE tenant_id = $1 AND vendor_id IS NOT DISTINCT FROM $2 AND driver_id IS NOT DISTINCT FROM $3 AND kind = $4

-- name: delete
DELETE FROM alert_policies
WHERE tenant_id = $1 AND vendor_id IS NOT DISTINCT FROM $2 AND driver_id IS NOT DISTINCT FROM $3 AND kind = $4
