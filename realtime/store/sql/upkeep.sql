-- name: partitions
SELECT c.relname AS name, i.inhrelid IS NOT NULL AS attached, coalesce(i.inhdetachpending, false) AS detaching
FROM pg_class parent
JOIN pg_class c ON c.relnamespace = parent.relnamespace AND c.relkind = 'r'
               AND c.relname ~ '^journey_points_[0-9]{8}$'
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = parent.oid
WHERE parent.oid = 'journey_points'::regclass

-- name: make
-- Sent as one message, so it is one transaction.
CREATE TABLE {name} (LIKE journey_points INCLUDING ALL);
SELECT protect_by_tenant('{name}');
ALTER TABLE journey_points ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')

-- name: attach
ALTER TABLE journey_points ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')

-- name: detach
ALTER TABLE journey_points DETACH PARTITION {name} CONCURRENTLY

-- name: finalize
ALTER TABLE journey_points DETACH PARTITION {name} FINALIZE

-- name: drop
DROP TABLE {name}

-- name: as_writer
SELECT set_config('role', 'wayguard_writer', true)

-- name: forget_tokens
-- Only by an expiry that was read from the token: one that was claimed would let the token in again.
WITH gone AS (DELETE FROM revoked_tokens WHERE expiry_verified AND expires_ms < $1 RETURNING 1)
SELECT count(*) FROM gone

-- name: forget_pairings
DELETE FROM pairings WHERE expires_ms < $1
