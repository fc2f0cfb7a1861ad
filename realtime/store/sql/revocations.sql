-- name: revoke
-- Forgotten by its expiry only when every revocation of the jti had read that from the token.
INSERT INTO revoked_tokens AS t (tenant_id, jti, expires_ms, expiry_verified) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, jti) DO UPDATE
SET expires_ms = greatest(t.expires_ms, excluded.expires_ms),
    expiry_verified = t.expiry_verified AND excluded.expiry_verified

-- name: horizon
-- Every transaction below the horizon has ended, and what it wrote is seen by the statements that follow. The
-- timeline changes when a standby takes over: its transaction numbers may have been given out before.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
       left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline

-- name: every
-- Of all tenants, in pages.
SELECT tenant_id, jti FROM revoked_tokens WHERE (tenant_id, jti) > ($1, $2) ORDER BY tenant_id, jti LIMIT $3

-- name: changed
-- Of all tenants, in pages: what transactions from a horizon on have written.
SELECT tenant_id, jti, changed_by::text::bigint AS changed_by
FROM revoked_tokens
WHERE (changed_by, tenant_id, jti) > ($1::bigint::text::xid8, $2, $3)
ORDER BY changed_by, tenant_id, jti
LIMIT $4

-- name: is_revoked
SELECT EXISTS (SELECT FROM revoked_tokens WHERE tenant_id = $1 AND jti = $2)

-- name: devices_of
SELECT tenant_id, subject, role, vendor_ids FROM devices WHERE tenant_id = $1 AND jti = $2
