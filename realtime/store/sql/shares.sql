-- name: create
INSERT INTO shares (share_id, tenant_id, journey_id, scope, secret_sha256, expires_ms, may_answer, holder,
                    answers_from_ms, created_by)
SELECT $3, j.tenant_id, j.journey_id, $4, $5, $6, $7, $8, CASE WHEN $9 THEN now_ms() ELSE 0 END, $10
FROM journeys j
WHERE j.tenant_id = $1 AND j.journey_id = $2
RETURNING share_id

-- name: create_to_driver
INSERT INTO shares (share_id, tenant_id, driver_id, vendor_id, scope, secret_sha256, expires_ms, may_answer, holder,
                    answers_from_ms, created_by)
SELECT $3, j.tenant_id, j.driver_id, j.vendor_id, $4, $5, $6, $7, $8, CASE WHEN $9 THEN now_ms() ELSE 0 END, $10
FROM journeys j
WHERE j.tenant_id = $1 AND j.journey_id = $2
RETURNING share_id

-- name: create_to_alert
-- With its line in the history of the alert.
WITH made AS (
    INSERT INTO shares (share_id, tenant_id, alert_id, scope, secret_sha256, expires_ms, may_answer, holder,
                        created_by)
    SELECT $3, a.tenant_id, a.alert_id, $4, $5, $6, $7, $8, $9
    FROM alerts a
    WHERE a.tenant_id = $1 AND a.alert_id = $2
    RETURNING share_id, tenant_id, alert_id, scope, expires_ms, may_answer
), noted AS (
    INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, detail)
    SELECT a.alert_id, a.tenant_id, a.version, now_ms(), $10::json, $11,
           json_build_object('share', m.share_id, 'scope', m.scope, 'expires_at', m.expires_ms,
                             'may_answer', m.may_answer)
    FROM made m JOIN alerts a USING (tenant_id, alert_id)
)
SELECT share_id FROM made

-- name: open
-- The journey of an alert belongs to a link to it while the alert is open. A phone names that journey, so it counts
-- only where it is one of the alert's driver.
SELECT s.share_id, s.tenant_id, s.alert_id, s.scope, s.secret_sha256, lasts_ms, s.may_answer, s.holder,
       s.answers_from_ms,
       coalesce(s.journey_id, CASE WHEN a.closed_ms IS NULL OR s.may_answer THEN o.journey_id END,
                share_shows_journey(s)) AS journey_id,
       coalesce(a.driver_id, j.driver_id, s.driver_id) AS driver_id, s.vendor_id
FROM shares s
LEFT JOIN alerts a ON a.tenant_id = s.tenant_id AND a.alert_id = s.alert_id
LEFT JOIN journeys o ON o.tenant_id = a.tenant_id AND o.driver_id = a.driver_id AND o.journey_id = a.journey_id
LEFT JOIN journeys j ON j.tenant_id = s.tenant_id AND j.journey_id = s.journey_id
CROSS JOIN LATERAL share_good_until_ms(s, $2) AS lasts_ms
WHERE s.share_id = $1 AND s.revoked_ms IS NULL AND lasts_ms > now_ms()

-- name: of_journey
-- Those to its driver too, made by the vendor that it was driven for.
SELECT share_id, journey_id, alert_id, driver_id, vendor_id, scope, created_ms, created_by, expires_ms, revoked_ms,
       may_answer, holder, share_good_until_ms(s, $3) AS lasts_ms
FROM shares s
WHERE tenant_id = $1
  AND (journey_id = $2
       OR (driver_id, vendor_id) = (SELECT j.driver_id, j.vendor_id
                                    FROM journeys j
                                    WHERE j.tenant_id = $1 AND j.journey_id = $2))
  AND ($4::bigint IS NULL OR (created_ms, share_id) < ($4, $5::text))
ORDER BY created_ms DESC, share_id DESC
LIMIT $6

-- name: of_alert
SELECT share_id, journey_id, alert_id, driver_id, vendor_id, scope, created_ms, created_by, expires_ms, revoked_ms,
       may_answer, holder, share_good_until_ms(s, $3) AS lasts_ms
FROM shares s
WHERE tenant_id = $1 AND alert_id = $2
  AND ($4::bigint IS NULL OR (created_ms, share_id) < ($4, $5::text))
ORDER BY created_ms DESC, share_id DESC
LIMIT $6

-- name: get
SELECT share_id, journey_id, alert_id, driver_id, vendor_id, scope, created_ms, created_by, expires_ms, revoked_ms,
       may_answer, holder, share_good_until_ms(s, $3) AS lasts_ms
FROM shares s
WHERE tenant_id = $1 AND share_id = $2

-- name: views
SELECT v.share_id, v.first_ms, v.last_ms, v.times, v.address, v.user_agent
FROM unnest($2::text[]) wanted (share_id)
CROSS JOIN LATERAL (
    SELECT *
    FROM share_views
    WHERE tenant_id = $1 AND share_id = wanted.share_id
    ORDER BY last_ms DESC
    LIMIT $3
) v

-- name: revoke
-- With its line in the history of the alert, where it is to one.
WITH revoked AS (
    UPDATE shares SET revoked_ms = now_ms()
    WHERE tenant_id = $1 AND share_id = $2 AND revoked_ms IS NULL
    RETURNING share_id, tenant_id, alert_id
), noted AS (
    INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, detail)
    SELECT a.alert_id, a.tenant_id, a.version, now_ms(), $3::json, $4, json_build_object('share', r.share_id)
    FROM revoked r JOIN alerts a USING (tenant_id, alert_id)
)
SELECT share_id FROM revoked

-- name: viewed
INSERT INTO share_views AS v (share_id, tenant_id, address, user_agent, first_ms, last_ms, times)
SELECT s.share_id, s.tenant_id, g.address, g.user_agent, now_ms(), now_ms(), g.times
FROM shares s CROSS JOIN unnest($2::text[], $3::text[], $4::integer[]) AS g (address, user_agent, times)
WHERE s.share_id = $1
ON CONFLICT (share_id, address, user_agent) DO UPDATE
SET last_ms = excluded.last_ms, times = v.times + excluded.times

-- name: lasting
-- Asked by every instance every 3 s: what has time left needs no look at alerts.
SELECT s.share_id, CASE WHEN s.expires_ms > now_ms() THEN s.expires_ms ELSE share_good_until_ms(s, $2) END AS lasts_ms,
       CASE WHEN s.driver_id IS NOT NULL THEN share_shows_journey(s) END AS journey_id
FROM shares s
WHERE s.share_id = ANY ($1::text[]) AND s.revoked_ms IS NULL
