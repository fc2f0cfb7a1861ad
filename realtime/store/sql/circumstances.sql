-- Each of these is read for one driver, for many, for some scopes, or for everybody: {rows} is the table or one of
-- the selections at the end, {scope} one of the conditions there.

-- name: contacts
-- Only addresses that count: verified, not opted out. Contacts without any are left out by the reader.
SELECT c.tenant_id, c.vendor_id, c.driver_id, c.contact_id, c.name, c.language, c.time_zone, c.position,
       c.created_ms, c.phone AS number,
       CASE WHEN c.phone_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.phone)
       ) THEN c.phone END AS phone,
       CASE WHEN c.email_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.email)
       ) THEN c.email END AS email,
       c.webhook_url, c.subject
FROM {rows} c

-- name: policies
SELECT tenant_id, vendor_id, driver_id, kind, policy
FROM {rows} p

-- name: drivers
SELECT tenant_id, driver_id, name, language, cancel_pin, duress_pin
FROM driver_safety
WHERE {scope}

-- name: devices
-- Those that were seen lately and whose token is not revoked; the newest first.
SELECT tenant_id, push_token, subject, role, vendor_ids
FROM devices d
WHERE seen_ms >= now_ms() - $1 AND {scope}
  AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.tenant_id = d.tenant_id AND r.jti = d.jti)
ORDER BY seen_ms DESC, push_token

-- name: of_everybody
true

-- name: rows_of_everybody
{table}

-- name: rows_of_scope
-- Three reads of an index each, whatever the statistics say: with an OR, or with the ids in a subselect, Postgres may
-- read all contacts of the tenant at every press.
(
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id = $3
    UNION ALL
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id = $2
    UNION ALL
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id IS NULL
)

-- name: of_driver
tenant_id = $1 AND driver_id = $2

-- name: of_tenant
tenant_id = $2 AND push_token IN (
    SELECT push_token FROM devices WHERE tenant_id = $2 AND subject = ANY ($3::text[])
    UNION ALL
    SELECT push_token FROM devices
    WHERE tenant_id = $2 AND role <> 'driver' AND (vendor_ids IS NULL OR $4 = ANY (vendor_ids))
)

-- name: rows_of_many
-- The same for each of the drivers ($1 tenant, $2 vendor, $3 driver).
(
    SELECT t.*
    FROM unnest($1::text[], $3::text[]) AS w (tenant_id, driver_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id = w.driver_id
    UNION ALL
    SELECT t.*
    FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS w (tenant_id, vendor_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id = w.vendor_id
    UNION ALL
    SELECT t.*
    FROM (SELECT DISTINCT unnest($1::text[])) AS w (tenant_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id IS NULL
)

-- name: rows_of_scopes
-- Drivers ($1, $2), vendors ($3, $4) and tenants ($5) themselves, without what is wider or narrower.
(
    SELECT t.*
    FROM unnest($1::text[], $2::text[]) AS w (tenant_id, driver_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id = w.driver_id
    UNION ALL
    SELECT t.*
    FROM unnest($3::text[], $4::text[]) AS w (tenant_id, vendor_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id = w.vendor_id
    UNION ALL
    SELECT t.*
    FROM unnest($5::text[]) AS w (tenant_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id IS NULL
)

-- name: of_drivers
(tenant_id, driver_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: of_tenants
-- Of the subjects ($2 tenant, $3 subject), and the dispatchers of the vendors ($4 tenant, $5 vendor).
(tenant_id, push_token) IN (
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($2::text[], $3::text[]) AS w (tenant_id, subject) USING (tenant_id, subject)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN (SELECT DISTINCT * FROM unnest($4::text[], $5::text[])) AS w (tenant_id, vendor_id)
        USING (tenant_id)
    WHERE x.role <> 'driver' AND (x.vendor_ids IS NULL OR w.vendor_id = ANY (x.vendor_ids))
)

-- name: of_subjects
-- Of subjects ($2, $3); of the dispatchers of vendors ($4, $5) and of all vendors of tenants ($6).
(tenant_id, push_token) IN (
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($2::text[], $3::text[]) AS w (tenant_id, subject) USING (tenant_id, subject)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($4::text[], $5::text[]) AS w (tenant_id, vendor_id) USING (tenant_id)
    WHERE x.role <> 'driver' AND w.vendor_id = ANY (x.vendor_ids)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($6::text[]) AS w (tenant_id) USING (tenant_id)
    WHERE x.role <> 'driver' AND x.vendor_ids IS NULL
)
