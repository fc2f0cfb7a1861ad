-- A share may answer alerts: it is then given to somebody by name. One that a driver made answers those raised since,
-- so that whoever has taken the phone cannot end the alert by a link. A driver may leave a number for the holders.
ALTER TABLE shares
    ADD COLUMN may_answer boolean NOT NULL DEFAULT false,
    ADD COLUMN holder text NOT NULL DEFAULT '',
    ADD COLUMN answers_from_ms bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT shares_answered_by_name CHECK (NOT may_answer OR holder <> '');
ALTER TABLE driver_safety ADD COLUMN phone text;  -- E.164
