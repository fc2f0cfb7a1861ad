-- Every time that is compared in here is Postgres' own: a process with a wrong clock changes nothing.
-- The order of locks: the driver's advisory lock, the alert's row, its attempts' rows, a provider id's advisory
-- lock. A claim locks attempts only and waits for no lock. The tenant's advisory lock `lock_hold` (timers.sql) is
-- taken after a timer's row; the transaction that holds it waits for no row.

-- name: lock_driver
-- One at a time for the presses of a driver: two at once find one open alert.
SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 0))

-- name: lock_provider_id
SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 1))

-- name: lock_free_drivers
-- Of many drivers those that no other transaction has, by their place in the list: nothing is waited for.
SELECT place
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given (tenant_id, driver_id, place)
WHERE pg_try_advisory_xact_lock(hashtextextended(tenant_id || chr(31) || driver_id, 0))

-- name: ensure_driver
WITH tenant AS (
    INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING
), vendor AS (
    INSERT INTO vendors (tenant_id, vendor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
)
INSERT INTO drivers (tenant_id, vendor_id, driver_id, connection_epoch) VALUES ($1, $2, $3, 0)
ON CONFLICT DO NOTHING

-- name: of_press
-- By the press; or by the id that the press alone would have made.
SELECT al.alert
FROM alerts al
WHERE al.alert_id = coalesce(
    (SELECT alert_id FROM alert_presses WHERE tenant_id = $1 AND driver_id = $2 AND sos_id = $3), $4)
  AND al.tenant_id = $1 AND al.driver_id = $2

-- name: of_other_drill
-- Of the presses $3 of one driver, with the ids $4 that each would have made alone, those that are in an alert which is
-- a drill where they are none, or the other way round.
SELECT asked.sos_id
FROM unnest($3::uuid[], $4::uuid[]) AS asked (sos_id, own_id)
WHERE EXISTS (SELECT FROM alerts a
              WHERE a.tenant_id = $1 AND a.driver_id = $2 AND a.alert_id = asked.own_id AND a.drill <> $5)
   OR EXISTS (SELECT FROM alert_presses p JOIN alerts a USING (tenant_id, driver_id, alert_id)
              WHERE p.tenant_id = $1 AND p.driver_id = $2 AND p.sos_id = asked.sos_id AND a.drill <> $5)

-- name: situation
-- What a press comes into: the alert that it went into before, the driver's open one, whether the driver is known.
SELECT now_ms() AS now_ms,
       (SELECT al.alert
        FROM alerts al
        WHERE al.alert_id = coalesce(
            (SELECT alert_id FROM alert_presses WHERE tenant_id = $1 AND driver_id = $2 AND sos_id = $3), $4)
          AND al.tenant_id = $1 AND al.driver_id = $2
       ) AS alert,
       (SELECT alert_id
        FROM alerts
        WHERE tenant_id = $1 AND driver_id = $2 AND drill = $5 AND closed_ms IS NULL
       ) AS open_id,
       EXISTS (SELECT FROM drivers WHERE tenant_id = $1 AND driver_id = $2) AS is_driver_known

-- name: situations
-- The same of many presses, by their place in the list.
SELECT asked.place, now_ms() AS now_ms,
       EXISTS (SELECT FROM alerts o
               WHERE o.tenant_id = asked.tenant_id AND o.driver_id = asked.driver_id AND o.alert_id = asked.own_id)
           OR EXISTS (SELECT FROM alert_presses p
                      WHERE p.tenant_id = asked.tenant_id AND p.driver_id = asked.driver_id
                        AND p.sos_id = asked.sos_id)
           OR EXISTS (SELECT FROM alerts a
                      WHERE a.tenant_id = asked.tenant_id AND a.driver_id = asked.driver_id
                        AND a.drill = asked.drill AND a.closed_ms IS NULL) AS has_alert,
       EXISTS (SELECT FROM drivers d
               WHERE d.tenant_id = asked.tenant_id AND d.driver_id = asked.driver_id) AS is_driver_known
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::boolean[]) WITH ORDINALITY
     AS asked (tenant_id, driver_id, sos_id, own_id, drill, place)

-- name: insert_press
INSERT INTO alert_presses (tenant_id, driver_id, sos_id, alert_id, own_alert_id, press, received_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING 1

-- name: open_of
SELECT alert_id FROM alerts WHERE tenant_id = $1 AND driver_id = $2 AND drill = $3 AND closed_ms IS NULL

-- name: lock
-- An alert may be asked for by the id that a press promised before it joined. An alert of that very id comes first: a
-- drill is escalated by its own id although an SOS was promised it too.
SELECT alert, policy_copy, now_ms() AS now_ms
FROM alerts
WHERE alert_id = coalesce(
    (SELECT alert_id FROM alert_presses WHERE own_alert_id = $1 ORDER BY alert_id <> $1 LIMIT 1), $1)
FOR UPDATE

-- name: look
-- Of a drill and an SOS that were promised one id the SOS: a contact opens a link to it.
SELECT alert, policy_copy
FROM alerts
WHERE alert_id = coalesce(
    (SELECT p.alert_id FROM alert_presses p JOIN alerts a USING (tenant_id, driver_id, alert_id)
     WHERE p.own_alert_id = $1 ORDER BY a.drill LIMIT 1), $1)

-- name: look_all
SELECT alert, policy_copy FROM alerts WHERE alert_id = ANY ($1::uuid[])

-- name: attempts_of_all
SELECT alert_id, attempt FROM alert_attempts WHERE alert_id = ANY ($1::uuid[])

-- name: history_of_all
-- Of these alerts what happened at one of these times: not a history of thousands of presses.
SELECT alert_id, at_ms, what, actor::text AS actor
FROM alert_events
WHERE alert_id = ANY ($1::uuid[]) AND at_ms = ANY ($2::bigint[])

-- name: attempts
SELECT attempt FROM alert_attempts WHERE alert_id = $1 ORDER BY attempt_id

-- name: lock_if_free
SELECT alert, policy_copy, now_ms() AS now_ms FROM alerts WHERE alert_id = $1 FOR UPDATE SKIP LOCKED

-- name: lock_attempts
SELECT attempt FROM alert_attempts WHERE alert_id = $1 ORDER BY attempt_id FOR UPDATE

-- name: clock
SELECT now_ms() AS now_ms

-- name: insert_alert
INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, raised_ms, closed_ms,
                    version, next_ms, alert, policy_copy)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: insert_cases
-- Alerts that are new, with their attempts, their history and the presses that opened them, in one statement.
-- No attempt is there yet; ON CONFLICT has this fail where attempts cannot be read, so that such an alert goes to the
-- journal: workers that cannot read its attempts would notify none of its contacts.
WITH made AS (
    INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, raised_ms,
                        closed_ms, version, next_ms, alert, policy_copy)
    SELECT alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, raised_ms,
           closed_ms, version, next_ms, alert::json, policy_copy::json
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::boolean[],
                $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[])
         AS made (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, raised_ms,
                  closed_ms, version, next_ms, alert, policy_copy)
), tried AS (
    INSERT INTO alert_attempts (attempt_id, channel, status, urgency, due_ms, claim_ms, provider, provider_id,
                                attempt, host, alert_id, tenant_id)
    SELECT attempt_id, channel, status, urgency, due_ms, claim_ms, provider, provider_id,
           attempt::json, host, alert_id, tenant_id
    FROM unnest($15::uuid[], $16::text[], $17::text[], $18::smallint[], $19::bigint[], $20::bigint[], $21::text[],
                $22::text[], $23::text[], $24::text[], $25::uuid[], $26::text[])
         AS tried (attempt_id, channel, status, urgency, due_ms, claim_ms, provider, provider_id,
                   attempt, host, alert_id, tenant_id)
    ON CONFLICT (attempt_id) DO UPDATE SET attempt = excluded.attempt
), noted AS (
    INSERT INTO alert_events (version, at_ms, actor, what, arrow, detail, alert_id, tenant_id)
    SELECT version, at_ms, actor::json, what, arrow, detail::json, alert_id, tenant_id
    FROM unnest($27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[], $33::uuid[],
                $34::text[])
         AS noted (version, at_ms, actor, what, arrow, detail, alert_id, tenant_id)
)
INSERT INTO alert_presses (tenant_id, driver_id, sos_id, alert_id, own_alert_id, press, received_ms)
SELECT tenant_id, driver_id, sos_id, alert_id, own_alert_id, press::json, received_ms
FROM unnest($35::text[], $36::text[], $37::uuid[], $38::uuid[], $39::uuid[], $40::text[], $41::bigint[])
     AS pressed (tenant_id, driver_id, sos_id, alert_id, own_alert_id, press, received_ms)
ON CONFLICT DO NOTHING

-- name: move_alert
-- Its times are by another clock: nothing that anybody sees has changed.
UPDATE alerts SET alert = $2, next_ms = now_ms(), written_ms = now_ms() WHERE alert_id = $1

-- name: update_alert
UPDATE alerts
SET state = $2, closed_ms = $3, journey_id = $4, kind = $5,
    changed_by = CASE WHEN version = $6 THEN changed_by ELSE pg_current_xact_id() END,
    version = $6, next_ms = $7, alert = $8, policy_copy = coalesce($9, policy_copy), written_ms = now_ms()
WHERE alert_id = $1

-- name: keep_attempts
INSERT INTO alert_attempts AS a (attempt_id, alert_id, tenant_id, channel, status, urgency, due_ms, claim_ms,
                                 provider, provider_id, attempt, host)
SELECT attempt_id, $1, $2, channel, status, urgency, due_ms, claim_ms, provider, provider_id, attempt::json, host
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::bigint[], $9::text[],
            $10::text[], $11::text[], $12::text[])
     AS kept (attempt_id, channel, status, urgency, due_ms, claim_ms, provider, provider_id, attempt, host)
ON CONFLICT (attempt_id) DO UPDATE
SET status = excluded.status, urgency = excluded.urgency, due_ms = excluded.due_ms, claim_ms = excluded.claim_ms,
    provider = excluded.provider, provider_id = excluded.provider_id, attempt = excluded.attempt,
    host = excluded.host

-- name: keep_events
INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, arrow, detail)
SELECT $1, $2, version, at_ms, actor::json, what, arrow, detail::json
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
     AS kept (version, at_ms, actor, what, arrow, detail)

-- name: keep_new_events
-- Of a history that may have been brought in before.
INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, arrow, detail)
SELECT $1, $2, version, at_ms, actor::json, what, arrow, detail::json
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
     AS kept (version, at_ms, actor, what, arrow, detail)
WHERE NOT EXISTS (
    SELECT FROM alert_events e
    WHERE e.tenant_id = $2 AND e.alert_id = $1 AND e.at_ms = kept.at_ms AND e.what = kept.what AND e.actor::text = kept.actor)

-- name: due_alerts
-- Those whose time has come; those that were written in what is now the future; then those with an attempt
-- that waits in a channel which is down, $3 left out. None of $4.
SELECT alert_id
FROM (
    SELECT alert_id, 0 AS place, next_ms FROM alerts WHERE next_ms <= now_ms()
    UNION ALL
    SELECT alert_id, 0, 0 FROM alerts WHERE written_ms > now_ms() + 5000
    UNION ALL
    SELECT alert_id, 1, claim_ms
    FROM alert_attempts
    WHERE claim_ms IS NOT NULL AND status IN ('due', 'unsure') AND channel = ANY ($1::text[])
      AND alert_id <> ALL ($3::uuid[])
) due
WHERE alert_id <> ALL ($4::uuid[])
GROUP BY alert_id
ORDER BY min(place), min(next_ms)
LIMIT $2

-- name: put_off
-- An alert that could not be advanced is tried again a little later, behind the others.
UPDATE alerts SET next_ms = now_ms() + $2 WHERE alert_id = $1

-- name: anything_due
SELECT EXISTS (SELECT FROM alerts WHERE next_ms <= now_ms())
    OR EXISTS (SELECT FROM alerts WHERE written_ms > now_ms() + 5000)
    OR EXISTS (SELECT FROM alert_attempts WHERE claim_ms <= now_ms())

-- name: claimable
-- Of each channel $1 up to $2 attempts whose time has come, of SOS alone where $3, none of the alerts $4. Lanes that are
-- full are passed over: $5 of a channel and tenant, $6 for what is no SOS; $7 of a host, with its tenant or without, $8
-- for what is no SOS. More rows are locked than are leased: the process decides lane by lane.
SELECT a.attempt_id, a.alert_id, a.attempt, a.host, a.urgency, al.alert, al.policy_copy, now_ms() AS now_ms
FROM unnest($1::text[], $2::int[], $3::boolean[]) AS wanted (channel, most, only_sos)
CROSS JOIN LATERAL (
    SELECT attempt_id, attempt, host, tenant_id, alert_id, urgency, claim_ms
    FROM alert_attempts
    WHERE channel = wanted.channel AND claim_ms <= now_ms() AND alert_id <> ALL ($4::uuid[])
      AND NOT (wanted.only_sos AND urgency > 0)
      AND channel || chr(31) || tenant_id <> ALL ($5::text[])
      AND (urgency = 0 OR channel || chr(31) || tenant_id <> ALL ($6::text[]))
      AND (host IS NULL OR (tenant_id || chr(31) || host <> ALL ($7::text[]) AND chr(31) || host <> ALL ($7)))
      AND (urgency = 0 OR host IS NULL
           OR (tenant_id || chr(31) || host <> ALL ($8::text[]) AND chr(31) || host <> ALL ($8)))
    ORDER BY urgency, claim_ms
    LIMIT wanted.most
    FOR UPDATE SKIP LOCKED
) a
JOIN alerts al USING (tenant_id, alert_id)
ORDER BY a.urgency, a.claim_ms

-- name: put_off_attempts
UPDATE alert_attempts SET claim_ms = now_ms() + $2 WHERE attempt_id = ANY ($1::uuid[])

-- name: write_lane
-- Of attempts that a process of an earlier release has written.
UPDATE alert_attempts a
SET host = given.host, urgency = given.urgency
FROM unnest($1::uuid[], $2::text[], $3::smallint[]) AS given (attempt_id, host, urgency)
WHERE a.attempt_id = given.attempt_id

-- name: opted_out
-- Of these numbers those that have said STOP.
SELECT g.tenant_id, g.phone
FROM (SELECT DISTINCT tenant_id, phone FROM unnest($1::text[], $2::text[]) AS n (tenant_id, phone)) g
JOIN opt_outs o ON o.tenant_id = g.tenant_id AND o.address_sha256 = address_sha256(g.phone)

-- name: lease
UPDATE alert_attempts a
SET status = 'sending', claim_ms = leased.claim_ms, attempt = leased.attempt::json
FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS leased (attempt_id, claim_ms, attempt)
WHERE a.attempt_id = leased.attempt_id

-- name: of_provider_id
SELECT attempt_id, alert_id FROM alert_attempts WHERE provider = $1 AND provider_id = $2 LIMIT 1

-- name: of_attempt
SELECT alert_id FROM alert_attempts WHERE attempt_id = $1

-- name: keep_early
INSERT INTO early_reports (provider, provider_id, status, report) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: take_early
DELETE FROM early_reports WHERE provider = $1 AND provider_id = $2 RETURNING report

-- name: forget_early
WITH gone AS (DELETE FROM early_reports WHERE received_ms < now_ms() - $1 RETURNING 1) SELECT count(*) FROM gone
