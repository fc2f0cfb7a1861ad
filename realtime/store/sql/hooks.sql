-- name: last_asked
-- Open alerts are few; which of their contacts has the number is in the copy that each took along. Of all tenants.
SELECT al.alert_id, a.attempt_id, a.attempt ->> 'contact_id' AS contact_id
FROM alerts al
CROSS JOIN LATERAL (
    SELECT json_array_elements(al.policy_copy -> 'contacts')
    UNION ALL
    SELECT json_array_elements(al.policy_copy -> 'former')
) AS known (contact)
JOIN alert_attempts a ON a.tenant_id = al.tenant_id AND a.alert_id = al.alert_id
                     AND a.attempt ->> 'contact_id' = contact ->> 'contact_id'
WHERE al.closed_ms IS NULL
  AND contact ->> 'phone' = $1
  AND a.channel IN ('sms', 'call')
  AND a.status <> 'due'
ORDER BY coalesce((a.attempt ->> 'sent_ms')::bigint, a.due_ms) DESC, a.attempt_id
LIMIT 1

-- name: is_known
SELECT EXISTS (SELECT FROM hook_answers WHERE answer_id = $1)

-- name: keep
INSERT INTO hook_answers (answer_id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: forget
-- Keys alone: they are of a call, and so of one alert. A text is about whatever is open when it comes.
DELETE FROM hook_answers WHERE answer_id LIKE 'CA%' AND received_ms < now_ms() - $1
