-- name: revoke
INSERT INTO revoked_tokens AS t (jti, expires_ms) VALUES ($1, $2)
ON CONFLICT (jti) DO UPDATE SET expires_ms = greatest(t.expires_ms, excluded.expires_ms)

-- name: all
SELECT jti FROM revoked_tokens

-- name: is_revoked
SELECT EXISTS (SELECT FROM revoked_tokens WHERE jti = $1)
