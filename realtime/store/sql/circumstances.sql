-- Each of these is read for one driver, for many, for some scopes, or for everybody: {rows} is the table or one of
-- the selections at the end, {scope} one of the conditions there.

-- name: contacts
-- Only addresses that count: verified, not opted out. Contacts without any are left out by the reader.
SELECT c.tenant_id, c.vendor_id, c.driver_id, c.contact_id, c.name, c.language, c.time_zone, c.position,
       c.created_ms, c.phone AS number,
       CASE WHEN c.phone_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.phone)
       ) THEN c.phone END AS phone,
       CASE WHEN c.email_verified_ms IS NOT NULL AND NOT EXISTS (
           SELECT FROM opt_outs o WHERE o.tenant_id = c.tenant_id AND o.address_sha256 = address_sha256(c.email)
       ) THEN c.email END AS email,
       c.webhook_url, c.subject
FROM {rows} c

-- name: policies
SELECT tenant_id, vendor_id, driver_id, kind, policy::text AS policy
FROM {rows} p

-- name: drivers
SELECT tenant_id, driver_id, name, language, cancel_pin, duress_pin
FROM driver_safety
WHERE {scope}

-- name: drivers_seen
-- The settings of each driver ($1 tenant, $2 driver), the place of their last alert, and one row for each of their
-- journeys from $4 to $5, at most $6 of them: the one that is named ($3, its id or the app's), then open ones, then the
-- newest; with the last position among its last $7 entries, or else the seq of its last entry. One row for a driver
-- without any. The read of positions stops at the first: a LIMIT of entries would read all of them. One about 0, 0
-- is none (`geo.position.is_null_island`): an earlier release stored such.
-- The bounds on journey_id are for the planner too: it leaves out the partitions of all other days. Each LIMIT keeps a
-- read to its index, whatever the statistics say.
SELECT asked.place, asked.tenant_id, asked.driver_id,
       s.name, s.language, s.cancel_pin, s.duress_pin,
       earlier.place::text AS earlier_place,
       EXISTS (SELECT FROM journeys o
               WHERE o.tenant_id = asked.tenant_id AND o.driver_id = asked.driver_id
                 AND o.journey_id < $4::uuid) AS has_older,
       j.journey_id, j.is_open, j.is_named, coalesce(q.seq, newest.seq) AS seq, q.t_ms, q.received_ms, q.lat, q.lon,
       q.accuracy_m::text::float8 AS accuracy_m, q.battery_pct::text::float8 AS battery_pct
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS asked (tenant_id, driver_id, journey_id, place)
LEFT JOIN LATERAL (
    SELECT name, language, cancel_pin, duress_pin
    FROM driver_safety
    WHERE tenant_id = asked.tenant_id AND driver_id = asked.driver_id
    LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT alert -> 'place' AS place
    FROM alerts
    WHERE tenant_id = asked.tenant_id AND driver_id = asked.driver_id
    ORDER BY raised_ms DESC
    LIMIT 1
) earlier ON true
LEFT JOIN LATERAL (
    SELECT tenant_id, journey_id, is_open,
           coalesce(asked.journey_id IN (journey_id, client_journey_id), false) AS is_named
    FROM (
        SELECT tenant_id, journey_id, client_journey_id, ended_ms IS NULL AS is_open
        FROM journeys
        WHERE tenant_id = asked.tenant_id AND driver_id = asked.driver_id
          AND journey_id >= $4::uuid AND journey_id < $5::uuid
        ORDER BY journey_id DESC
        LIMIT 30
    ) newest
    ORDER BY is_named DESC, is_open DESC, journey_id DESC
    LIMIT $6
) j ON true
LEFT JOIN LATERAL (
    SELECT seq
    FROM journey_points
    WHERE journey_id = j.journey_id AND tenant_id = j.tenant_id
      AND journey_id >= $4::uuid AND journey_id < $5::uuid
    ORDER BY seq DESC
    LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT seq, t_ms, received_ms, lat, lon, accuracy_m, battery_pct
    FROM journey_points
    WHERE journey_id = j.journey_id AND tenant_id = j.tenant_id
      AND journey_id >= $4::uuid AND journey_id < $5::uuid
      AND seq > newest.seq - $7 AND lat IS NOT NULL AND lon IS NOT NULL
      AND NOT (abs(lat) < 0.01 AND abs(lon) < 0.01)
    ORDER BY seq DESC
    LIMIT 1
) q ON true
ORDER BY asked.place, j.journey_id DESC

-- name: search
-- A read that may fail or take too long without costing its transaction: {ms} at most.
SAVEPOINT search; SET LOCAL statement_timeout = {ms}

-- name: end_search
-- Also sets the timeout back. Nothing was written.
ROLLBACK TO SAVEPOINT search; RELEASE SAVEPOINT search

-- name: devices
-- Those that were seen lately and whose token is not revoked; the newest first.
SELECT tenant_id, push_token, subject, role, vendor_ids
FROM devices d
WHERE seen_ms >= now_ms() - $1 AND {scope}
  AND NOT EXISTS (SELECT FROM revoked_tokens r WHERE r.tenant_id = d.tenant_id AND r.jti = d.jti)
ORDER BY seen_ms DESC, push_token

-- name: of_everybody
true

-- name: rows_of_everybody
{table}

-- name: rows_of_scope
-- Three reads of an index each, whatever the statistics say: with an OR, or with the ids in a subselect, Postgres may
-- read all contacts of the tenant at every press.
(
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id = $3
    UNION ALL
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id = $2
    UNION ALL
    SELECT * FROM {table} WHERE tenant_id = $1 AND driver_id IS NULL AND vendor_id IS NULL
)

-- name: of_driver
tenant_id = $1 AND driver_id = $2

-- name: of_tenant
tenant_id = $2 AND push_token IN (
    SELECT push_token FROM devices WHERE tenant_id = $2 AND subject = ANY ($3::text[])
    UNION ALL
    SELECT push_token FROM devices
    WHERE tenant_id = $2 AND role <> 'driver' AND (vendor_ids IS NULL OR $4 = ANY (vendor_ids))
)

-- name: rows_of_many
-- The same for each of the drivers ($1 tenant, $2 vendor, $3 driver). OFFSET 0: by an index for each of them, where
-- the planner may read the whole table for 25.
(
    SELECT t.*
    FROM unnest($1::text[], $3::text[]) AS w (tenant_id, driver_id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table} WHERE tenant_id = w.tenant_id AND driver_id = w.driver_id OFFSET 0
    ) t
    UNION ALL
    SELECT t.*
    FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS w (tenant_id, vendor_id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table}
        WHERE tenant_id = w.tenant_id AND driver_id IS NULL AND vendor_id = w.vendor_id OFFSET 0
    ) t
    UNION ALL
    SELECT t.*
    FROM (SELECT DISTINCT unnest($1::text[])) AS w (tenant_id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table} WHERE tenant_id = w.tenant_id AND driver_id IS NULL AND vendor_id IS NULL OFFSET 0
    ) t
)

-- name: rows_of_scopes
-- Drivers ($1, $2), vendors ($3, $4) and tenants ($5) themselves, without what is wider or narrower.
(
    SELECT t.*
    FROM unnest($1::text[], $2::text[]) AS w (tenant_id, driver_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id = w.driver_id
    UNION ALL
    SELECT t.*
    FROM unnest($3::text[], $4::text[]) AS w (tenant_id, vendor_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id = w.vendor_id
    UNION ALL
    SELECT t.*
    FROM unnest($5::text[]) AS w (tenant_id)
    JOIN {table} t ON t.tenant_id = w.tenant_id AND t.driver_id IS NULL AND t.vendor_id IS NULL
)

-- name: of_drivers
(tenant_id, driver_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: of_tenants
-- Of the subjects ($2 tenant, $3 subject), and the dispatchers of the vendors ($4 tenant, $5 vendor).
(tenant_id, push_token) IN (
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($2::text[], $3::text[]) AS w (tenant_id, subject) USING (tenant_id, subject)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN (SELECT DISTINCT * FROM unnest($4::text[], $5::text[])) AS w (tenant_id, vendor_id)
        USING (tenant_id)
    WHERE x.role <> 'driver' AND (x.vendor_ids IS NULL OR w.vendor_id = ANY (x.vendor_ids))
)

-- name: of_subjects
-- Of subjects ($2, $3); of the dispatchers of vendors ($4, $5) and of all vendors of tenants ($6).
(tenant_id, push_token) IN (
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($2::text[], $3::text[]) AS w (tenant_id, subject) USING (tenant_id, subject)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($4::text[], $5::text[]) AS w (tenant_id, vendor_id) USING (tenant_id)
    WHERE x.role <> 'driver' AND w.vendor_id = ANY (x.vendor_ids)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN unnest($6::text[]) AS w (tenant_id) USING (tenant_id)
    WHERE x.role <> 'driver' AND x.vendor_ids IS NULL
)

-- name: of_found_contacts
-- Of the contacts that the same statement has found, and the dispatchers of the vendors ($1 tenant, $2 vendor).
(tenant_id, push_token) IN (
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN (SELECT DISTINCT tenant_id, subject FROM found_contacts) AS w USING (tenant_id, subject)
    UNION ALL
    SELECT x.tenant_id, x.push_token
    FROM devices x JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS w (tenant_id, vendor_id)
        USING (tenant_id)
    WHERE x.role <> 'driver' AND (x.vendor_ids IS NULL OR w.vendor_id = ANY (x.vendor_ids))
)

-- name: for_presses
-- All that presses of drivers need ($1 tenant, $2 vendor, $3 driver, $4 how recently a device was seen, $5 journey or
-- null, $6 to $9 the bounds of `drivers_seen`): a row a part, its rows as JSON. One statement, because each one is two
-- round trips. `locked` locks, too.
WITH found_contacts AS ({contacts})
SELECT 'contacts' AS part, json_agg(to_json(found))::text AS found FROM found_contacts found
UNION ALL
SELECT 'policies', json_agg(to_json(found))::text FROM ({policies}) found
UNION ALL
SELECT 'devices', json_agg(to_json(found))::text FROM ({devices}) found
UNION ALL
SELECT 'seen', json_agg(to_json(found))::text FROM ({seen}) found
UNION ALL
SELECT 'locked', json_agg(to_json(found))::text FROM ({locked}) found
