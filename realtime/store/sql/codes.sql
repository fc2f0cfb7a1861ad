-- name: lock
-- In one order: the tenant's budget, then the address's.
SELECT pg_advisory_xact_lock(hashtextextended('codes of ' || $1, 0)),
       pg_advisory_xact_lock(hashtextextended('codes to ' || $2, 0))

-- name: spent
-- What was sent since $3, $4 and $5 ms ago to $2, an address in all its spellings; what was withheld counts for its
-- tenant, and bombs nobody.
WITH asked AS MATERIALIZED (
    SELECT ARRAY(SELECT address_sha256(address) FROM unnest($2::text[]) AS given (address)) AS addresses
)
SELECT
    count(*) FILTER (WHERE tenant_id = $1 AND address_sha256 = ANY (addresses) AND sent_ms > now_ms() - $3)
        AS address_short,
    count(*) FILTER (WHERE tenant_id = $1 AND address_sha256 = ANY (addresses) AND sent_ms > now_ms() - $4)
        AS address_long,
    count(*) FILTER (WHERE tenant_id = $1 AND sent_ms > now_ms() - $5) AS tenant_short,
    count(*) FILTER (WHERE tenant_id = $1 AND sent_ms > now_ms() - $4) AS tenant_long,
    count(*) FILTER (WHERE address_sha256 = ANY (addresses) AND NOT withheld AND sent_ms > now_ms() - $4)
        AS address_everywhere
FROM code_sends CROSS JOIN asked
WHERE (tenant_id = $1 OR address_sha256 = ANY (addresses)) AND sent_ms > now_ms() - $4

-- name: is_opted_out
SELECT EXISTS (
    SELECT FROM opt_outs
    WHERE tenant_id = $1
      AND address_sha256 = ANY (ARRAY(SELECT address_sha256(address) FROM unnest($2::text[]) AS given (address)))
)

-- name: spend
INSERT INTO code_sends (tenant_id, contact_id, address_sha256, withheld)
VALUES ($1, $2, address_sha256($3), $4)

-- name: keep
INSERT INTO contact_codes (contact_id, tenant_id, channel, address, code_sha256, expires_ms)
SELECT contact_id, tenant_id, $3, $4, $5, now_ms() + $6
FROM contacts
WHERE tenant_id = $1 AND contact_id = $2
ON CONFLICT (contact_id, channel) DO UPDATE
    SET address = excluded.address, code_sha256 = excluded.code_sha256, expires_ms = excluded.expires_ms,
        tries = 0, sent_ms = now_ms()
RETURNING expires_ms

-- name: try
-- Counted before it is compared, in a transaction that commits either way.
UPDATE contact_codes SET tries = tries + 1
WHERE tenant_id = $1 AND contact_id = $2 AND channel = $3 AND tries < $4 AND expires_ms > now_ms()
RETURNING address, code_sha256, tries

-- name: forget
DELETE FROM contact_codes WHERE tenant_id = $1 AND contact_id = $2 AND channel = $3

-- name: phone_verified
UPDATE contacts SET phone_verified_ms = now_ms() WHERE tenant_id = $1 AND contact_id = $2 AND phone = $3

-- name: email_verified
UPDATE contacts SET email_verified_ms = now_ms() WHERE tenant_id = $1 AND contact_id = $2 AND email = $3

-- name: opted_in
DELETE FROM opt_outs
WHERE tenant_id = $1
  AND address_sha256 = ANY (ARRAY(SELECT address_sha256(address) FROM unnest($2::text[]) AS given (address)))

-- name: prune
WITH sends AS (DELETE FROM code_sends WHERE sent_ms < now_ms() - $1 RETURNING 1),
     codes AS (DELETE FROM contact_codes WHERE expires_ms < now_ms() - $1 RETURNING 1)
SELECT (SELECT count(*) FROM sends) + (SELECT count(*) FROM codes)
