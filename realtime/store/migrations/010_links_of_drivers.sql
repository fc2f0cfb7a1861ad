-- A link to a journey that the driver's own app made (answers_from_ms > 0) lasts as the alert is shown on the phone: an
-- alert that was cancelled under duress keeps it good no longer than one that was cancelled by the right PIN.
CREATE FUNCTION shown_closed_ms(share shares, of alerts) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN share.answers_from_ms > 0 AND share.alert_id IS NULL
             AND of.alert #>> '{veil,drawn_ms}' IS NOT NULL AND of.alert #>> '{veil,lifted_ms}' IS NULL
        THEN (of.alert #>> '{veil,drawn_ms}')::bigint
        ELSE of.closed_ms
    END
$$;

CREATE OR REPLACE FUNCTION share_lasts_ms(share shares, grace_ms bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH near AS (
        SELECT a.alert_id, a.raised_ms, coalesce(shown_closed_ms(share, a), now_ms()) + grace_ms AS until_ms
        FROM alerts a
        WHERE share.expires_ms <= now_ms()
          AND a.tenant_id = share.tenant_id
          AND (a.alert_id = share.alert_id
               OR a.journey_id = share.journey_id
                  AND a.driver_id = (
                      SELECT j.driver_id
                      FROM journeys j
                      WHERE j.tenant_id = share.tenant_id AND j.journey_id = share.journey_id))
          AND NOT a.drill
          AND coalesce(shown_closed_ms(share, a), now_ms()) >= share.expires_ms
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
