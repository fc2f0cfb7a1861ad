-- name: connect_driver
WITH tenant AS (
    INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING
), vendor AS (
    INSERT INTO vendors (tenant_id, vendor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
)
INSERT INTO drivers AS d (tenant_id, vendor_id, driver_id) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, driver_id)
    DO UPDATE SET connection_epoch = d.connection_epoch + 1, vendor_id = excluded.vendor_id
RETURNING connection_epoch

-- name: ensure_vendors
WITH tenant AS (
    INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING
)
INSERT INTO vendors (tenant_id, vendor_id)
SELECT $1, vendor_id FROM unnest($2::text[]) vendor_id ORDER BY vendor_id  -- in one order: no deadlock
ON CONFLICT DO NOTHING

-- name: vendor_of
SELECT vendor_id FROM drivers WHERE tenant_id = $1 AND driver_id = $2

-- name: vendors_of
SELECT vendor_id FROM vendors WHERE tenant_id = $1 ORDER BY vendor_id LIMIT $2

-- name: vendors_after
SELECT vendor_id FROM vendors WHERE tenant_id = $1 AND vendor_id > $2 ORDER BY vendor_id LIMIT $3

-- name: ensure_driver
-- Whoever is there already stays with their vendor.
WITH tenant AS (
    INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING
), vendor AS (
    INSERT INTO vendors (tenant_id, vendor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
)
INSERT INTO drivers (tenant_id, vendor_id, driver_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: names_of
-- Of the drivers of these vendors (null: of all) those that have a name.
SELECT d.driver_id, s.name
FROM drivers d
JOIN driver_safety s ON s.tenant_id = d.tenant_id AND s.driver_id = d.driver_id
WHERE d.tenant_id = $1 AND d.driver_id = ANY ($2::text[])
  AND ($3::text[] IS NULL OR d.vendor_id = ANY ($3))
  AND s.name <> ''

-- name: described
SELECT name, phone FROM driver_safety WHERE tenant_id = $1 AND driver_id = $2 FOR UPDATE

-- name: note_changes
INSERT INTO driver_changes (tenant_id, driver_id, actor_role, actor_id, field, old_value, new_value)
SELECT $1, $2, $3, $4, c.field, c.old_value, c.new_value
FROM unnest($5::text[], $6::text[], $7::text[]) c (field, old_value, new_value)

-- name: changes_of
-- The newest first.
SELECT at_ms, actor_role, actor_id, field, old_value, new_value
FROM driver_changes
WHERE tenant_id = $1 AND driver_id = $2
ORDER BY change_id DESC
LIMIT $3
