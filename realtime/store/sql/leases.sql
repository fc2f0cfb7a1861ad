-- name: take
-- Ours already, free, or left behind; the fence rises with every change of hands.
INSERT INTO leases AS l (name, holder, until_ms) VALUES ($1, $2, now_ms() + $3)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until_ms = excluded.until_ms,
    fence = CASE WHEN l.holder = excluded.holder THEN l.fence ELSE l.fence + 1 END
WHERE l.holder = excluded.holder OR l.until_ms <= now_ms()
RETURNING fence

-- name: give_back
UPDATE leases SET until_ms = 0 WHERE name = $1 AND holder = $2
