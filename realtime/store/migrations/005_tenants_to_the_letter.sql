-- Revocations that are polled by what is new, and forgotten only by an expiry that a signature vouches for; pairings
-- by the vendor they are of; a share's journey by its tenant.

-- `changed_by`: as in alerts, the transaction that wrote the row; a poll reads by it. An older process leaves it to
-- the default, which is right for its rows too.
-- `expiry_verified`: `expires_ms` was read from the token itself. Of the rows until now that is not known, and one
-- whose expiry was claimed too early would let its token in again: they are kept for good, also by an older process.
ALTER TABLE revoked_tokens
    ADD COLUMN changed_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN expiry_verified boolean NOT NULL DEFAULT false;
-- As the writer: row-level security is forced, so that the login itself would find no row to change.
SET LOCAL ROLE wayguard_writer;
UPDATE revoked_tokens SET expires_ms = 253402300799999;  -- the year 9999, as in realtime.store.revocations
RESET ROLE;
CREATE INDEX revoked_tokens_by_change ON revoked_tokens (changed_by, tenant_id, jti);

-- Whose token a pairing makes, so that who oversees the vendor can revoke it by its jti.
CREATE TABLE pairings (
    tenant_id  text NOT NULL,
    jti        text NOT NULL,
    vendor_id  text NOT NULL,
    driver_id  text NOT NULL,
    created_ms bigint NOT NULL DEFAULT now_ms(),
    expires_ms bigint NOT NULL,         -- when the token expires at the latest
    PRIMARY KEY (tenant_id, jti),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers ON DELETE CASCADE
);
CREATE INDEX pairings_of ON pairings (tenant_id, driver_id);
SELECT protect_by_tenant('pairings');

-- As in 003, the share's journey by its tenant as well.
CREATE OR REPLACE FUNCTION share_lasts_ms(share shares, grace_ms bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH near AS (
        SELECT a.alert_id, a.raised_ms, coalesce(a.closed_ms, now_ms()) + grace_ms AS until_ms
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
