#!/bin/sh
# Run once by the image, on an empty volume: the application's role and database, and a role for the replica.
# The application's role is no superuser, since row-level security does not bind one.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$WAYGUARD_PASSWORD" --set=replication="$REPLICATION_PASSWORD" \
    --username="$POSTGRES_USER" <<'SQL'
CREATE ROLE wayguard LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE wayguard OWNER wayguard;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
SQL
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
