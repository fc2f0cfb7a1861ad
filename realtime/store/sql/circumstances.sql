-- Each of these is read for one driver or for everybody: {scope} is one of the conditions at the end.

-- name: contacts
-- Only addresses that count: verified, not opted out. Contacts without any are left out by the reader.
SELECT c.tenant_id, c.vendor_id, c.driver_id, c.contact_id, c.name, c.language, c.time_zone, c.position,
       c.created_ms,
       CASE WHEN c.phone_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.phone)
       ) THEN c.phone END AS phone,
       CASE WHEN c.email_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.email)
       ) THEN c.email END AS email,
       c.webhook_url, c.subject
FROM contacts c
WHERE {scope}

-- name: policies
SELECT tenant_id, vendor_id, driver_id, kind, policy
FROM alert_policies
WHERE {scope}

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

-- name: of_scope
-- Three reads of an index each: an OR would read all contacts of the tenant, bitmap scans being off.
tenant_id = $1 AND {id} IN (
    SELECT {id} FROM {table} WHERE tenant_id = $1 AND driver_id = $3
    UNION ALL
    SELECT {id} FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id = $2
    UNION ALL
    SELECT {id} FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id IS NULL
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

-- name: of_many
-- As of_scope, for each of the drivers ($1 tenant, $2 vendor, $3 driver).
{id} IN (
    SELECT t.{id}
    FROM {table} t JOIN unnest($1::text[], $3::text[]) AS w (tenant_id, driver_id) USING (tenant_id, driver_id)
    UNION ALL
    SELECT t.{id}
    FROM {table} t
    JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS w (tenant_id, vendor_id)
        USING (tenant_id, vendor_id)
    WHERE t.driver_id IS NULL
    UNION ALL
    SELECT t.{id}
    FROM {table} t JOIN (SELECT DISTINCT unnest($1::text[])) AS w (tenant_id) USING (tenant_id)
    WHERE t.driver_id IS NULL AND t.vendor_id IS NULL
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
