-- A link is to a journey or to an alert, and an open SOS keeps it good.
ALTER TABLE shares DROP CONSTRAINT shares_check;
ALTER TABLE shares ADD CONSTRAINT shares_of_one CHECK (num_nonnulls(journey_id, alert_id) = 1);
CREATE INDEX shares_of_alert ON shares (alert_id) WHERE alert_id IS NOT NULL;

-- Until when a share is good. One that expires while its alert, or an alert of its journey, is open is good until
-- grace_ms after that was closed (an open one counts as closing now), and an alert that is raised by then keeps it
-- further. Drills keep nothing, nor does an alert of another driver that names this journey.
CREATE FUNCTION share_lasts_ms(share shares, grace_ms bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH near AS (
        SELECT a.alert_id, a.raised_ms, coalesce(a.closed_ms, now_ms()) + grace_ms AS until_ms
        FROM alerts a
        WHERE share.expires_ms <= now_ms()
          AND a.tenant_id = share.tenant_id
          AND (a.alert_id = share.alert_id
               OR a.journey_id = share.journey_id
                  AND a.driver_id = (SELECT j.driver_id FROM journeys j WHERE j.journey_id = share.journey_id))
          AND NOT a.drill
          AND coalesce(a.closed_ms, now_ms()) >= share.expires_ms
    ), chained AS (
        SELECT alert_id, raised_ms, until_ms,
               greatest(share.expires_ms, max(until_ms) OVER (
                   ORDER BY raised_ms, alert_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS good_ms
        FROM near
    ), counted AS (
        SELECT until_ms, bool_and(raised_ms <= good_ms) OVER (ORDER BY raised_ms, alert_id) AS counts
        FROM chained
    )
    SELECT coalesce(max(until_ms), share.expires_ms) FROM counted WHERE counts
$$;
