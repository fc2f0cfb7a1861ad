-- name: columns
c.contact_id, c.vendor_id, c.driver_id, coalesce(d.vendor_id, c.vendor_id) AS vendor_now, c.name, c.language,
c.time_zone, c.position, c.phone, c.email, c.webhook_url, c.subject, c.phone_verified_ms, c.email_verified_ms,
c.created_ms, c.updated_ms, c.created_by,
(SELECT opted_out_ms FROM opt_outs o
 WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.phone)) AS phone_opted_out_ms,
(SELECT opted_out_ms FROM opt_outs o
 WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.email)) AS email_opted_out_ms

-- name: get
SELECT {columns}
FROM contacts c LEFT JOIN drivers d USING (tenant_id, driver_id)
WHERE c.tenant_id = $1 AND c.contact_id = $2

-- name: list
-- $2: of these vendors and their drivers only; $3: of this vendor and its drivers; $4: of this driver; $5: after;
-- $7: the tenant's own too.
SELECT {columns}
FROM contacts c LEFT JOIN drivers d USING (tenant_id, driver_id)
WHERE c.tenant_id = $1
  AND ($2::text[] IS NULL OR coalesce(d.vendor_id, c.vendor_id) = ANY ($2))
  AND ($3::text IS NULL OR coalesce(d.vendor_id, c.vendor_id) = $3)
  AND ($4::text IS NULL OR c.driver_id = $4)
  AND ($5::uuid IS NULL OR c.contact_id > $5)
  AND ($7 OR coalesce(c.driver_id, c.vendor_id) IS NOT NULL)
ORDER BY c.contact_id
LIMIT $6

-- name: lock_scope
SELECT pg_advisory_xact_lock(hashtextextended('contacts ' || $1, 0))

-- name: insert
INSERT INTO contacts (contact_id, tenant_id, vendor_id, driver_id, name, language, time_zone, position, phone, email,
                      webhook_url, subject, created_by)
VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING contact_id

-- name: update
-- An address that changes loses its verification.
UPDATE contacts SET name = $3, language = $4, time_zone = $5, position = $6, phone = $7, email = $8,
    webhook_url = $9, subject = $10, updated_ms = now_ms(),
    phone_verified_ms = CASE WHEN phone = $7 THEN phone_verified_ms END,
    email_verified_ms = CASE WHEN email = $8 THEN email_verified_ms END
WHERE tenant_id = $1 AND contact_id = $2

-- name: order
-- $3: the driver's contacts in their new order; $4: the position before the first.
UPDATE contacts c SET position = $4 + given.place, updated_ms = now_ms()
FROM unnest($3::uuid[]) WITH ORDINALITY given (contact_id, place)
WHERE c.tenant_id = $1 AND c.driver_id = $2 AND c.contact_id = given.contact_id

-- name: lock
SELECT FROM contacts WHERE tenant_id = $1 AND contact_id = $2 FOR UPDATE

-- name: delete
DELETE FROM contacts WHERE tenant_id = $1 AND contact_id = $2 RETURNING vendor_id, driver_id

-- name: opt_out
-- In every tenant that has, or that ever sent a code to, this address; $1: a phone number in all its spellings. All of
-- them are written, so that STOP holds however a tenant has it.
WITH asked AS (
    SELECT address_sha256(address) AS address_sha256 FROM unnest($1::text[]) AS given (address)
), theirs AS (
    SELECT tenant_id FROM contacts WHERE phone = ANY ($1) OR email = ANY ($1)
    UNION
    SELECT tenant_id FROM code_sends WHERE address_sha256 = ANY (ARRAY(SELECT address_sha256 FROM asked))
), added AS (
    INSERT INTO opt_outs (tenant_id, address_sha256)
    SELECT tenant_id, address_sha256 FROM theirs CROSS JOIN asked
    ON CONFLICT DO NOTHING
    RETURNING tenant_id
)
SELECT count(DISTINCT tenant_id) FROM added

-- name: opt_in
WITH removed AS (
    DELETE FROM opt_outs
    WHERE address_sha256 = ANY (ARRAY(SELECT address_sha256(address) FROM unnest($1::text[]) AS given (address)))
    RETURNING tenant_id
)
SELECT count(DISTINCT tenant_id) FROM removed

-- name: of_exactly
-- The contacts of one scope: those of the scopes around it are not among them.
SELECT {columns}
FROM contacts c LEFT JOIN drivers d USING (tenant_id, driver_id)
WHERE c.tenant_id = $1 AND c.vendor_id IS NOT DISTINCT FROM $2 AND c.driver_id IS NOT DISTINCT FROM $3
ORDER BY c.created_ms, c.contact_id

-- name: reaching
-- Everybody whom all drivers of a scope have: $2 and $3 are its vendor and driver, null for wider ones.
SELECT {columns}
FROM contacts c LEFT JOIN drivers d USING (tenant_id, driver_id)
WHERE c.tenant_id = $1
  AND (c.driver_id = $3 OR c.driver_id IS NULL AND (c.vendor_id = $2 OR c.vendor_id IS NULL))
ORDER BY c.contact_id
