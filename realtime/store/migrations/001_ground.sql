-- The tables of the tracking core, and who may see which row of them.
--
-- Two roles that nobody logs in as: the login takes one for each transaction (SET LOCAL ROLE).
--   wayguard_reader sees the rows of one tenant, named by the setting app.tenant; with none named, no row.
--   wayguard_writer writes for every tenant: it is the server itself, after it has checked a principal.
-- Row-level security is forced, so that the owner of the tables, as which we log in, is bound as well.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['wayguard_reader', 'wayguard_writer'] LOOP
        -- Roles belong to the whole server: another database's migration may make one at this moment.
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- INHERIT FALSE: as itself the login has none of their rights; it must take the role to use them.
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           AND NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO wayguard_reader, wayguard_writer;

-- Every table with a tenant_id, partitions included, is protected by this one function.
CREATE FUNCTION protect_by_tenant(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY reader ON %s FOR SELECT TO wayguard_reader '
        'USING (tenant_id = current_setting(''app.tenant'', true))', target);
    EXECUTE format(
        'CREATE POLICY writer ON %s TO wayguard_writer USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT ON %s TO wayguard_reader', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO wayguard_writer', target);
END
$$;
REVOKE EXECUTE ON FUNCTION protect_by_tenant(regclass) FROM PUBLIC;

-- The database's clock in our unit.
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM statement_timestamp()) * 1000)::bigint;

CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY,
    created_ms bigint NOT NULL DEFAULT now_ms()
);

CREATE TABLE vendors (
    tenant_id  text NOT NULL REFERENCES tenants,
    vendor_id  text NOT NULL,
    created_ms bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, vendor_id)
);

CREATE TABLE drivers (
    tenant_id        text NOT NULL,
    driver_id        text NOT NULL,
    vendor_id        text NOT NULL,
    connection_epoch bigint NOT NULL DEFAULT 1,
    created_ms       bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, driver_id),
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES vendors
) WITH (fillfactor = 80);  -- each connect raises the epoch: room for it on the row's own page

CREATE INDEX drivers_of_vendor ON drivers (tenant_id, vendor_id);

-- journey_id is a UUIDv7 minted by the server: its first 48 bits are created_ms, so it orders by time.
CREATE TABLE journeys (
    journey_id        uuid PRIMARY KEY,
    tenant_id         text NOT NULL,
    vendor_id         text NOT NULL,
    driver_id         text NOT NULL,
    client_journey_id uuid NOT NULL,
    created_ms        bigint NOT NULL,
    started_ms        bigint NOT NULL,  -- by the app's clock
    ended_ms          bigint,
    final_seq         integer,          -- no seq above it is taken any more; set with ended_ms
    expired           boolean NOT NULL DEFAULT false,
    vehicle           text,
    destination       json,
    route             json,
    UNIQUE (tenant_id, driver_id, client_journey_id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers,
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES vendors,
    CHECK ((ended_ms IS NULL) = (final_seq IS NULL))
);

CREATE INDEX journeys_of_tenant ON journeys (tenant_id, journey_id);
CREATE INDEX journeys_of_vendor ON journeys (tenant_id, vendor_id, journey_id);
CREATE INDEX journeys_of_driver ON journeys (tenant_id, driver_id, journey_id);
CREATE INDEX journeys_open ON journeys (created_ms) WHERE ended_ms IS NULL;

-- One partition a day of journey_id; upkeep makes and drops them. A row without t_ms, lat and lon is a void.
-- No foreign key: the writer inserts through a join with journeys, and a check a row would cost too much.
CREATE TABLE journey_points (
    journey_id  uuid    NOT NULL,
    seq         integer NOT NULL CHECK (seq > 0),
    tenant_id   text    NOT NULL,
    t_ms        bigint,
    received_ms bigint  NOT NULL,
    lat         double precision,
    lon         double precision,
    speed_mps   real,
    heading_deg real,
    accuracy_m  real,
    altitude_m  real,
    battery_pct real,
    void_reason text,
    clock_odd   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (journey_id, seq)
) PARTITION BY RANGE (journey_id);

CREATE TABLE shares (
    share_id      text PRIMARY KEY,
    tenant_id     text NOT NULL REFERENCES tenants,
    journey_id    uuid NOT NULL REFERENCES journeys,
    scope         text NOT NULL CHECK (scope IN ('live', 'journey')),
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    created_ms    bigint NOT NULL DEFAULT now_ms(),
    created_by    text NOT NULL,
    expires_ms    bigint NOT NULL,
    revoked_ms    bigint
);

CREATE INDEX shares_of_journey ON shares (journey_id);

-- Who looked: one row for each address and program, however often it comes back.
CREATE TABLE share_views (
    share_id   text NOT NULL REFERENCES shares ON DELETE CASCADE,
    tenant_id  text NOT NULL,
    address    text NOT NULL,
    user_agent text NOT NULL,
    first_ms   bigint NOT NULL,
    last_ms    bigint NOT NULL,
    times      integer NOT NULL DEFAULT 1,
    PRIMARY KEY (share_id, address, user_agent)
);

-- By tenant: whoever may revoke in one tenant must not reach a token of another whose jti it happens to know.
CREATE TABLE revoked_tokens (
    tenant_id  text NOT NULL,
    jti        text NOT NULL,
    expires_ms bigint NOT NULL,
    revoked_ms bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (tenant_id, jti)
);

SELECT protect_by_tenant(name::regclass)
FROM unnest(ARRAY['tenants', 'vendors', 'drivers', 'journeys', 'journey_points', 'shares', 'share_views',
                  'revoked_tokens']) name;
