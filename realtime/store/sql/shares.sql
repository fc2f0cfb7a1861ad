-- name: create
INSERT INTO shares (share_id, tenant_id, journey_id, scope, secret_sha256, expires_ms, created_by)
SELECT $3, j.tenant_id, j.journey_id, $4, $5, $6, $7
FROM journeys j
WHERE j.tenant_id = $1 AND j.journey_id = $2
RETURNING share_id

-- name: open
SELECT share_id, tenant_id, journey_id, scope, expires_ms, secret_sha256
FROM shares
WHERE share_id = $1 AND revoked_ms IS NULL AND expires_ms > now_ms()

-- name: of_journey
SELECT share_id, journey_id, scope, created_ms, created_by, expires_ms, revoked_ms
FROM shares
WHERE journey_id = $1
ORDER BY created_ms DESC, share_id

-- name: get
SELECT share_id, journey_id, scope, created_ms, created_by, expires_ms, revoked_ms
FROM shares
WHERE share_id = $1

-- name: views
SELECT v.share_id, v.first_ms, v.last_ms, v.times, v.address, v.user_agent
FROM unnest($1::text[]) wanted (share_id)
CROSS JOIN LATERAL (
    SELECT * FROM share_views WHERE share_id = wanted.share_id ORDER BY last_ms DESC LIMIT $2
) v

-- name: revoke
UPDATE shares SET revoked_ms = now_ms()
WHERE tenant_id = $1 AND share_id = $2 AND revoked_ms IS NULL

-- name: viewed
INSERT INTO share_views AS v (share_id, tenant_id, address, user_agent, first_ms, last_ms)
SELECT share_id, tenant_id, $2, $3, now_ms(), now_ms() FROM shares WHERE share_id = $1
ON CONFLICT (share_id, address, user_agent) DO UPDATE SET last_ms = excluded.last_ms, times = v.times + 1

-- name: still_open
SELECT share_id FROM shares
WHERE share_id = ANY ($1::text[]) AND revoked_ms IS NULL AND expires_ms > now_ms()
