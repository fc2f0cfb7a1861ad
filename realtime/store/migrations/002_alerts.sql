-- Alerts: who is told, what was raised, whom it reached. See docs/ALERTS.md.

-- --- before a press: contacts, policies, PINs, devices

-- Whose they are: a driver's alone, a vendor's, or (both null) the whole tenant's. A driver's vendor is the one that
-- `drivers` names, so that who moves to another vendor takes contacts and policies along.
CREATE TABLE contacts (
    contact_id        uuid PRIMARY KEY,
    tenant_id         text NOT NULL REFERENCES tenants,
    vendor_id         text,
    driver_id         text,
    name              text NOT NULL,
    language          text NOT NULL DEFAULT 'en',
    time_zone         text NOT NULL DEFAULT 'UTC',
    position          integer NOT NULL DEFAULT 100,  -- who is first; smaller is earlier
    phone             text,             -- E.164
    email             text,             -- in lower case
    webhook_url       text,
    subject           text,             -- a token's sub, whose devices get the pushes
    phone_verified_ms bigint,           -- null again when the address changes
    email_verified_ms bigint,
    created_ms        bigint NOT NULL DEFAULT now_ms(),
    updated_ms        bigint NOT NULL DEFAULT now_ms(),
    created_by        text NOT NULL,
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES vendors,
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers,
    CHECK (driver_id IS NULL OR vendor_id IS NULL)
);
CREATE INDEX contacts_of ON contacts (tenant_id, driver_id, vendor_id);
CREATE INDEX contacts_by_phone ON contacts (phone) WHERE phone IS NOT NULL;
CREATE INDEX contacts_by_email ON contacts (email) WHERE email IS NOT NULL;

-- A code sent to an address; only its hash is kept.
CREATE TABLE contact_codes (
    contact_id  uuid NOT NULL REFERENCES contacts ON DELETE CASCADE,
    tenant_id   text NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('sms', 'call', 'email')),
    address     text NOT NULL,          -- what it was sent to: a changed address needs a new code
    code_sha256 bytea NOT NULL,
    expires_ms  bigint NOT NULL,
    tries       integer NOT NULL DEFAULT 0,
    sent_ms     bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (contact_id, channel)
);

-- What has been spent of the budget of codes; the address as a hash, forgotten after two days.
CREATE TABLE code_sends (
    send_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id      text NOT NULL REFERENCES tenants,
    contact_id     uuid NOT NULL,
    address_sha256 bytea NOT NULL,
    withheld       boolean NOT NULL DEFAULT false,  -- not sent: other tenants had sent enough to that address
    sent_ms        bigint NOT NULL DEFAULT now_ms()
);
CREATE INDEX code_sends_of_address ON code_sends (address_sha256, sent_ms);
CREATE INDEX code_sends_of_tenant ON code_sends (tenant_id, sent_ms);

-- STOP, by the address and not by the contact: it outlives a contact that is deleted and made again.
CREATE TABLE opt_outs (
    tenant_id      text NOT NULL REFERENCES tenants,
    address_sha256 bytea NOT NULL,
    opted_out_ms   bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, address_sha256)
);
CREATE FUNCTION address_sha256(address text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN sha256(convert_to(address, 'UTF8'));

-- The narrowest that matches counts: driver, vendor, tenant, built-in.
CREATE TABLE alert_policies (
    policy_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id  text NOT NULL REFERENCES tenants,
    vendor_id  text,
    driver_id  text,
    kind       text NOT NULL,
    policy     json NOT NULL,           -- alerts.policy.Policy
    updated_ms bigint NOT NULL DEFAULT now_ms(),
    updated_by text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (tenant_id, vendor_id, driver_id, kind),
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES vendors,
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers,
    CHECK (driver_id IS NULL OR vendor_id IS NULL)
);

-- What a driver set for themselves.
CREATE TABLE driver_safety (
    tenant_id   text NOT NULL,
    driver_id   text NOT NULL,
    name        text NOT NULL DEFAULT '',
    language    text NOT NULL DEFAULT 'en',
    cancel_pin  text,                   -- hashes: alerts.pin
    duress_pin  text,
    wrong_pins  integer NOT NULL DEFAULT 0,     -- typed to change a PIN, since
    wrong_since_ms bigint NOT NULL DEFAULT 0,
    updated_ms  bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, driver_id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers ON DELETE CASCADE
);

CREATE TABLE devices (
    tenant_id  text NOT NULL REFERENCES tenants,
    push_token text NOT NULL,
    subject    text NOT NULL,           -- the token's sub
    role       text NOT NULL,
    vendor_ids text[],                  -- of a dispatcher's device: null = all the tenant's vendors
    driver_id  text,                    -- of a driver's device
    jti        text,                    -- of the token that registered it: revoked with it
    platform   text NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    language   text NOT NULL DEFAULT 'en',
    seen_ms    bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, push_token)
);
CREATE INDEX devices_of_subject ON devices (tenant_id, subject);
CREATE INDEX devices_by_token ON devices (push_token);
CREATE INDEX devices_of_dispatchers ON devices (tenant_id) WHERE role <> 'driver';

-- --- alerts. What is json here is read and written whole and never looked into: it is not jsonb, which refuses a
-- nul in a message.

CREATE TABLE alerts (
    alert_id    uuid PRIMARY KEY,       -- made of (tenant, driver, sos_id)
    tenant_id   text NOT NULL REFERENCES tenants,
    vendor_id   text NOT NULL,
    driver_id   text NOT NULL,
    journey_id  uuid,
    kind        text NOT NULL,
    state       text NOT NULL,
    drill       boolean NOT NULL,
    raised_ms   bigint NOT NULL,
    closed_ms   bigint,
    version     bigint NOT NULL,
    changed_by  xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- whose change is the version: the 2 s poll reads by it
    next_ms     bigint,                 -- when escalation is to look at it
    written_ms  bigint NOT NULL DEFAULT now_ms(),  -- in the future: the clock was set back, its times are moved
    alert       json NOT NULL,          -- alerts.alert.Alert
    policy_copy json NOT NULL           -- alerts.policy.PolicyCopy
) WITH (fillfactor = 70);
CREATE INDEX alerts_by_change ON alerts (changed_by);
CREATE INDEX alerts_of_tenant ON alerts (tenant_id, raised_ms DESC, alert_id DESC);
CREATE INDEX alerts_of_journey ON alerts (journey_id) WHERE journey_id IS NOT NULL;
CREATE INDEX alerts_due ON alerts (next_ms) WHERE next_ms IS NOT NULL;
CREATE INDEX alerts_written ON alerts (written_ms);
-- One open alert a driver, drills apart.
CREATE UNIQUE INDEX alerts_open ON alerts (tenant_id, driver_id, drill) WHERE closed_ms IS NULL;

CREATE TABLE alert_presses (
    tenant_id   text NOT NULL,
    driver_id   text NOT NULL,
    sos_id      uuid NOT NULL,
    alert_id    uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
    own_alert_id uuid NOT NULL,         -- what it would have been alone: a journal may have promised that id
    press       json NOT NULL,          -- alerts.alert.Press
    received_ms bigint NOT NULL,
    PRIMARY KEY (tenant_id, driver_id, sos_id)
);
CREATE INDEX alert_presses_of ON alert_presses (alert_id);
CREATE INDEX alert_presses_own ON alert_presses (own_alert_id);

CREATE TABLE alert_attempts (
    attempt_id  uuid PRIMARY KEY,
    alert_id    uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
    tenant_id   text NOT NULL,
    channel     text NOT NULL,
    status      text NOT NULL,
    urgency     smallint NOT NULL,      -- who is claimed first; smaller is sooner
    due_ms      bigint NOT NULL,
    claim_ms    bigint,                 -- from when it may be claimed: due, or its lease's end; null: never (again)
    provider    text,
    provider_id text,
    attempt     json NOT NULL           -- alerts.attempt.Attempt
) WITH (fillfactor = 70);
CREATE INDEX alert_attempts_of ON alert_attempts (alert_id);
CREATE INDEX alert_attempts_claimable ON alert_attempts (urgency, claim_ms) WHERE claim_ms IS NOT NULL;
CREATE INDEX alert_attempts_by_provider ON alert_attempts (provider, provider_id) WHERE provider_id IS NOT NULL;

CREATE TABLE alert_events (
    event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id  uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
    tenant_id text NOT NULL,
    version   bigint NOT NULL,
    at_ms     bigint NOT NULL,
    actor     json NOT NULL,            -- alerts.alert.Actor
    what      text NOT NULL,
    arrow     text,
    detail    json NOT NULL
);
CREATE INDEX alert_events_of ON alert_events (alert_id, event_id);

-- A callback that came before the send it speaks of was recorded; forgotten after a day.
CREATE TABLE early_reports (
    provider    text NOT NULL,
    provider_id text NOT NULL,
    status      text NOT NULL,
    report      json NOT NULL,          -- alerts.attempt.StatusReport
    received_ms bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (provider, provider_id, status)
);

-- Answers that providers brought (a text's id, a call's id and key): each is taken once.
CREATE TABLE hook_answers (
    answer_id   text PRIMARY KEY,
    received_ms bigint NOT NULL DEFAULT now_ms()
);

-- --- safety timers

CREATE TABLE safety_timers (
    timer_id    uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    vendor_id   text NOT NULL,
    driver_id   text NOT NULL,
    journey_id  uuid,
    kind        text NOT NULL CHECK (kind IN ('arrive_by', 'check_in', 'signal_lost')),
    due_ms      bigint NOT NULL,
    state       text NOT NULL CHECK (state IN ('armed', 'held', 'fired', 'cancelled', 'done')),
    timer       json NOT NULL,          -- alerts.timers.Timer
    written_ms  bigint NOT NULL DEFAULT now_ms(),  -- in the future: the clock was set back
    created_ms  bigint NOT NULL DEFAULT now_ms(),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers ON DELETE CASCADE
);
CREATE INDEX safety_timers_due ON safety_timers (due_ms) WHERE state IN ('armed', 'held');
CREATE INDEX safety_timers_written ON safety_timers (written_ms) WHERE state IN ('armed', 'held');
CREATE INDEX safety_timers_of ON safety_timers (tenant_id, driver_id);
CREATE INDEX safety_timers_held ON safety_timers (tenant_id) WHERE state = 'held';

-- When ingest was open: what a silence may be counted in. One row a process and stretch without a gap.
CREATE TABLE ingest_uptime (
    process    text NOT NULL,
    from_ms    bigint NOT NULL,
    until_ms   bigint NOT NULL,
    PRIMARY KEY (process, from_ms)
);

-- --- incidents, erasure, leases

CREATE TABLE incident_points (LIKE journey_points INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE incident_points ADD PRIMARY KEY (journey_id, seq);

CREATE TABLE erasures (
    erasure_id uuid PRIMARY KEY,
    tenant_id  text NOT NULL REFERENCES tenants,
    driver_sha256 bytea NOT NULL,       -- whom, without keeping the name
    asked_by   text NOT NULL,
    asked_ms   bigint NOT NULL DEFAULT now_ms(),
    done_ms    bigint,
    work       json,                    -- ids that a resumed erasure has to know; gone when it is done
    proof      json NOT NULL DEFAULT '{}'
);
CREATE INDEX erasures_of ON erasures (tenant_id, driver_sha256);

-- Who does what only one may: the mirror, the auditor.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    until_ms   bigint NOT NULL,
    fence      bigint NOT NULL DEFAULT 1
);
CREATE TABLE worker_beats (
    process text PRIMARY KEY,
    role    text NOT NULL,
    beat_ms bigint NOT NULL,
    detail  jsonb NOT NULL DEFAULT '{}'
);

SELECT protect_by_tenant(name::regclass)
FROM unnest(ARRAY['contacts', 'contact_codes', 'code_sends', 'opt_outs', 'alert_policies', 'driver_safety',
                  'devices', 'alerts', 'alert_presses', 'alert_attempts', 'alert_events', 'safety_timers',
                  'incident_points', 'erasures']) name;
GRANT SELECT, INSERT, UPDATE, DELETE ON early_reports, hook_answers, ingest_uptime, leases, worker_beats TO wayguard_writer;

-- A share may be to an alert: the link in a message. An open alert keeps it open.
ALTER TABLE shares ADD COLUMN alert_id uuid REFERENCES alerts ON DELETE CASCADE;
ALTER TABLE shares ALTER COLUMN journey_id DROP NOT NULL;
ALTER TABLE shares ADD CHECK (journey_id IS NOT NULL OR alert_id IS NOT NULL);
