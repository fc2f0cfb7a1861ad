-- name: revoke
INSERT INTO revoked_tokens AS t (tenant_id, jti, expires_ms) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, jti) DO UPDATE SET expires_ms = greatest(t.expires_ms, excluded.expires_ms)

-- name: all
SELECT tenant_id, jti FROM revoked_tokens

-- name: is_revoked
SELECT EXISTS (SELECT FROM revoked_tokens WHERE jti = $1)
