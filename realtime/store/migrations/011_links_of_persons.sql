-- A share may be to a driver: until it expires it shows the journey that the driver is on, and goes on with the next one. It
-- is of the vendor that the driver drove for when it was made.
ALTER TABLE shares ADD COLUMN driver_id text, ADD COLUMN vendor_id text;
ALTER TABLE shares ADD CONSTRAINT shares_to_driver FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers ON DELETE CASCADE;
ALTER TABLE shares DROP CONSTRAINT shares_of_one;
ALTER TABLE shares ADD CONSTRAINT shares_of_one CHECK (num_nonnulls(journey_id, alert_id, driver_id) = 1);
ALTER TABLE shares ADD CONSTRAINT shares_of_vendor CHECK ((driver_id IS NULL) = (vendor_id IS NULL));

-- Until when a share is good, of whatever it is. One to a driver is kept good by an SOS of theirs that was raised while it was
-- good; one that their own app made no longer than the phone shows it open: see `shares.answers_from_ms`.
CREATE FUNCTION share_good_until_ms(share shares, grace_ms bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN share.driver_id IS NULL THEN share_lasts_ms(share, grace_ms) ELSE (
        SELECT greatest(share.expires_ms, max(coalesce(
                   CASE WHEN share.answers_from_ms > 0 AND a.alert #>> '{veil,lifted_ms}' IS NULL
                        THEN (a.alert #>> '{veil,drawn_ms}')::bigint END,
                   a.closed_ms, now_ms()) + grace_ms))
        FROM alerts a
        WHERE a.tenant_id = share.tenant_id AND a.driver_id = share.driver_id AND a.vendor_id = share.vendor_id
          AND NOT a.drill
          AND a.raised_ms <= share.expires_ms
          AND coalesce(a.closed_ms, now_ms()) >= share.expires_ms
    ) END
$$;

-- The journey that a share to a driver shows now: the newest that is open, else the last that has ended since the share was
-- made. Null of other shares, and before the first journey.
CREATE FUNCTION share_shows_journey(share shares) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT j.journey_id
    FROM journeys j
    WHERE j.tenant_id = share.tenant_id AND j.driver_id = share.driver_id AND j.vendor_id = share.vendor_id
      AND (j.ended_ms IS NULL OR j.ended_ms >= share.created_ms)
    ORDER BY j.ended_ms IS NULL DESC, j.journey_id DESC
    LIMIT 1
$$;
