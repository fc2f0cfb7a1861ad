-- name: of_address
SELECT DISTINCT tenant_id, vendor_id, driver_id FROM contacts
WHERE (phone = ANY ($1::text[]) OR email = ANY ($1)) AND ($2::text IS NULL OR tenant_id = $2)
LIMIT $3

-- name: of_subject
SELECT DISTINCT vendor_id, driver_id FROM contacts WHERE tenant_id = $1 AND subject = $2 LIMIT $3
