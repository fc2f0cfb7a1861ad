-- Of all tenants, by Postgres' clock.

-- name: unanswered
-- Those of whom somebody may have to be told, the newest first: what lies open for weeks must not hide them.
SELECT alert
FROM alerts
WHERE closed_ms IS NULL AND NOT drill AND state IN ('pending', 'active')
  AND (alert ->> 'reached_ms' IS NULL OR alert ->> 'exhausted_ms' IS NOT NULL)
ORDER BY raised_ms DESC
LIMIT $1

-- name: counts
SELECT now_ms() AS now_ms, (SELECT count(*) FROM alerts WHERE closed_ms IS NULL AND NOT drill) AS open

-- name: waiting
SELECT channel, count(*) AS waiting
FROM alert_attempts
WHERE claim_ms <= now_ms() AND status IN ('due', 'unsure')
GROUP BY channel

-- name: stuck
-- Messages, and alerts whose next step it is time for.
(SELECT alert_id, claim_ms AS since_ms FROM alert_attempts WHERE claim_ms < now_ms() - $1 ORDER BY claim_ms LIMIT $2)
UNION ALL
(SELECT alert_id, next_ms FROM alerts WHERE next_ms < now_ms() - $1 ORDER BY next_ms LIMIT $2)

-- name: sent
-- With a provider that has not said whether it arrived.
SELECT a.attempt
FROM alert_attempts a
JOIN alerts al USING (tenant_id, alert_id)
WHERE al.closed_ms IS NULL AND NOT al.drill AND a.status = 'sent' AND a.channel = ANY ($1::text[])
ORDER BY (a.attempt ->> 'sent_ms')::bigint
LIMIT $2

-- name: held
-- Timers of drivers who are silent together with many others, and wait for the operator.
SELECT tenant_id, count(*) AS timers, min((timer ->> 'looked_ms')::bigint) AS since_ms
FROM safety_timers
WHERE state = 'held'
GROUP BY tenant_id
LIMIT $1

-- name: beats
SELECT process, role, beat_ms, detail FROM worker_beats WHERE beat_ms > now_ms() - $1 ORDER BY process

-- name: beat
INSERT INTO worker_beats (process, role, beat_ms, detail) VALUES ($1, $2, now_ms(), $3)
ON CONFLICT (process) DO UPDATE
SET role = excluded.role, beat_ms = excluded.beat_ms, detail = excluded.detail

-- name: end_beat
DELETE FROM worker_beats WHERE process = $1

-- name: clock
SELECT now_ms()
