-- name: begin_writer
-- Each of these two is sent as one message. A process that is frozen inside a transaction must not hold its
-- locks for ever.
BEGIN READ WRITE;
SELECT set_config('role', 'wayguard_writer', true), set_config('idle_in_transaction_session_timeout', '60s', true)

-- name: begin_reader
BEGIN READ ONLY;
SELECT set_config('role', 'wayguard_reader', true), set_config('app.tenant', {tenant}, true)

-- name: primary_position
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint

-- name: replayed_position
SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint

-- name: settings
SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])
