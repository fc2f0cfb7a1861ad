-- name: make_record
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: recorded
SELECT number, name, sha256 FROM schema_migrations ORDER BY number

-- name: record
INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)
