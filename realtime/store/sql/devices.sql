-- name: register
INSERT INTO devices (tenant_id, push_token, subject, role, vendor_ids, driver_id, jti, platform, language)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, push_token) DO UPDATE
    SET subject = excluded.subject, role = excluded.role, vendor_ids = excluded.vendor_ids,
        driver_id = excluded.driver_id, jti = excluded.jti, platform = excluded.platform,
        language = excluded.language, seen_ms = now_ms()

-- name: get
SELECT tenant_id, subject, role, vendor_ids, jti FROM devices WHERE tenant_id = $1 AND push_token = $2

-- name: lock_subject
SELECT pg_advisory_xact_lock(hashtextextended('devices ' || $1 || '/' || $2, 0))

-- name: forget_oldest
DELETE FROM devices
WHERE tenant_id = $1 AND push_token IN (
    SELECT push_token FROM devices WHERE tenant_id = $1 AND subject = $2
    ORDER BY push_token = $3 DESC, seen_ms DESC, push_token OFFSET $4
)

-- name: of_subject
SELECT push_token, platform, language, seen_ms FROM devices
WHERE tenant_id = $1 AND subject = $2
ORDER BY seen_ms DESC, push_token

-- name: delete
DELETE FROM devices
WHERE tenant_id = $1 AND subject = $2 AND left(encode(sha256(convert_to(push_token, 'UTF8')), 'hex'), 32) = $3
RETURNING tenant_id, subject, role, vendor_ids

-- name: prune
DELETE FROM devices WHERE push_token = $1 RETURNING tenant_id, subject, role, vendor_ids

-- name: forget_unseen
WITH gone AS (DELETE FROM devices WHERE seen_ms < now_ms() - $1 RETURNING 1) SELECT count(*) FROM gone
