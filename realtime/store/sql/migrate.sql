-- name: make_record
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: record_is_readable
SELECT has_table_privilege('public', 'schema_migrations', 'SELECT')

-- name: let_record_be_read
-- A process that logs in as another than the owner compares the record with its release at its start.
GRANT SELECT ON schema_migrations TO PUBLIC

-- name: present
-- Any of these tables shows that migrations have run here, whatever the record says.
SELECT to_regclass('schema_migrations') IS NOT NULL AS has_record,
       coalesce(to_regclass('journey_points'), to_regclass('alert_attempts'), to_regclass('journeys'),
                to_regclass('alerts')) IS NOT NULL AS has_tables

-- name: recorded
SELECT number, name, sha256 FROM schema_migrations ORDER BY number

-- name: record
INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)

-- name: limit_lock_waits
SELECT set_config('lock_timeout', $1, true)

-- name: index_is_valid
-- Null: there is none.
SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(quote_ident($1))

-- name: oldest_transactions
SELECT pid, application_name AS name, extract(epoch FROM clock_timestamp() - xact_start)::bigint AS age_s
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start
LIMIT $1
