-- name: open_alert
SELECT EXISTS (
    SELECT FROM alerts WHERE tenant_id = $1 AND driver_id = $2 AND closed_ms IS NULL AND NOT drill
)

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('erasure ' || $1 || '/' || encode($2, 'hex'), 0))

-- name: unfinished
SELECT erasure_id, asked_by, asked_ms, work, proof FROM erasures
WHERE tenant_id = $1 AND driver_sha256 = $2 AND done_ms IS NULL
ORDER BY asked_ms
LIMIT 1

-- name: begin
INSERT INTO erasures (erasure_id, tenant_id, driver_sha256, asked_by)
VALUES (gen_random_uuid(), $1, $2, $3)
RETURNING erasure_id, asked_by, asked_ms, work, proof

-- name: keep
UPDATE erasures SET work = $3, proof = $4 WHERE tenant_id = $1 AND erasure_id = $2

-- name: finish
UPDATE erasures SET work = NULL, proof = $3, done_ms = $4 WHERE tenant_id = $1 AND erasure_id = $2

-- name: proofs
SELECT proof FROM erasures WHERE tenant_id = $1 AND driver_sha256 = $2 AND done_ms IS NOT NULL ORDER BY done_ms

-- name: ensure_tenant
INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: journeys
SELECT journey_id FROM journeys WHERE tenant_id = $1 AND driver_id = $2

-- name: alerts
SELECT alert_id FROM alerts WHERE tenant_id = $1 AND driver_id = $2

-- name: contacts
SELECT contact_id FROM contacts WHERE tenant_id = $1 AND driver_id = $2

-- name: shares
SELECT share_id
FROM shares
WHERE tenant_id = $1
  AND (journey_id = ANY ($2::uuid[]) OR alert_id = ANY ($3::uuid[]) OR driver_id = $4)

-- name: provider_ids
SELECT provider_id
FROM alert_attempts
WHERE tenant_id = $1 AND alert_id = ANY ($2::uuid[]) AND provider_id IS NOT NULL

-- name: tables
-- Every table with a tenant, partitions apart, and by which columns a row of it may be a driver's. Whoever adds a
-- table adds it here by its columns' names.
SELECT c.oid::regclass::text AS name,
       array_agg(a.attname::text) FILTER (
           WHERE a.attname IN ('driver_id', 'journey_id', 'alert_id', 'contact_id', 'share_id')
       ) AS columns
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.oid
HAVING bool_or(a.attname = 'tenant_id')
ORDER BY 1

-- name: count
SELECT count(*) FROM {table} WHERE {condition}

-- name: delete
DELETE FROM {table} WHERE {condition}

-- name: count_reports
SELECT count(*) FROM early_reports WHERE provider_id = ANY ($1::text[])

-- name: delete_reports
DELETE FROM early_reports WHERE provider_id = ANY ($1::text[])
