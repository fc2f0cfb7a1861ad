-- name: begin_writer
-- Without bitmap scans: on a partition without statistics, that is today's, the planner would read every row of
-- a journey to find its last (24 ms instead of 0.05 for 60,000 points).
-- Each of these two is sent as one message. A process that is frozen inside a transaction must not hold its
-- locks: whoever waits for one takes Postgres for away after a second, and an import gives up after ten.
BEGIN READ WRITE;
SELECT set_config('role', 'wayguard_writer', true), set_config('idle_in_transaction_session_timeout', '3s', true),
       set_config('enable_bitmapscan', 'off', true)

-- name: and_lock_timeout
-- The end of `begin_writer` where a statement must not wait long for a lock.
, set_config('lock_timeout', '{ms}ms', true)

-- name: begin_lookup
-- A credential's tenant is found with the credential, so the reader's role, which sees one tenant, does not do.
BEGIN READ ONLY;
SELECT set_config('role', 'wayguard_writer', true), set_config('idle_in_transaction_session_timeout', '3s', true),
       set_config('enable_bitmapscan', 'off', true)

-- name: begin_reader
BEGIN READ ONLY;
SELECT set_config('role', 'wayguard_reader', true), set_config('app.tenant', {tenant}, true),
       set_config('enable_bitmapscan', 'off', true)

-- name: primary_position
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint

-- name: replayed_position
SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint

-- name: settings
SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])
