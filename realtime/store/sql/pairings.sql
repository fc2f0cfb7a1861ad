-- name: note
INSERT INTO pairings (tenant_id, jti, vendor_id, driver_id, expires_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING

-- name: vendor_of
SELECT vendor_id FROM pairings WHERE tenant_id = $1 AND jti = $2
