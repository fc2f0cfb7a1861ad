-- name: last_asked
-- The last message to a phone ($1: its number in each of its spellings) about each open alert; $2 at most. Open alerts
-- are few; which of their contacts has the number is in the copy that each took along. Of all tenants.
SELECT alert_id, attempt_id, contact_id, sent_ms
FROM (
    SELECT DISTINCT ON (al.alert_id) al.alert_id, al.drill, al.state, a.attempt_id,
           a.attempt ->> 'contact_id' AS contact_id,
           coalesce((a.attempt ->> 'sent_ms')::bigint, a.due_ms) AS sent_ms
    FROM alerts al
    CROSS JOIN LATERAL (
        SELECT json_array_elements(al.policy_copy -> 'contacts')
        UNION ALL
        SELECT json_array_elements(al.policy_copy -> 'former')
    ) AS known (contact)
    JOIN alert_attempts a ON a.tenant_id = al.tenant_id AND a.alert_id = al.alert_id
                         AND a.attempt ->> 'contact_id' = contact ->> 'contact_id'
    WHERE al.closed_ms IS NULL
      AND contact ->> 'phone' = ANY ($1::text[])
      AND a.channel IN ('sms', 'call')
      AND (a.status NOT IN ('due', 'failed') OR a.attempt ->> 'sent_ms' IS NOT NULL)
    ORDER BY al.alert_id, sent_ms DESC, a.attempt_id
) told
ORDER BY drill, state = 'acknowledged', sent_ms DESC, attempt_id
LIMIT $2

-- name: is_known
SELECT EXISTS (SELECT FROM hook_answers WHERE answer_id = $1)

-- name: keep
INSERT INTO hook_answers (answer_id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: forget
-- Keys alone: they are of a call, and so of one alert. A text is about whatever is open when it comes.
DELETE FROM hook_answers WHERE answer_id LIKE 'CA%' AND received_ms < now_ms() - $1

-- name: lock
-- A lease, not an advisory lock: no connection is held while the text is applied. One that expired is taken over.
INSERT INTO leases AS l (name, holder, until_ms) VALUES ($1, $2, now_ms() + $3)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, until_ms = excluded.until_ms, fence = l.fence + 1
WHERE l.until_ms <= now_ms()
RETURNING fence

-- name: unlock
DELETE FROM leases WHERE name = $1 AND holder = $2
