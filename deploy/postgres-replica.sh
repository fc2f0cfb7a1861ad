#!/bin/sh
# Copies the primary on an empty volume, then streams from it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    until pg_basebackup --pgdata="$PGDATA" --write-recovery-conf --wal-method=stream --checkpoint=fast \
        --dbname="host=${PRIMARY_HOST:-postgres} port=${PRIMARY_PORT:-5432} user=replicator password=$REPLICATION_PASSWORD"; do
        echo "the primary is not there yet"
        sleep 2
        rm -rf "${PGDATA:?}"/*
    done
    chmod 0700 "$PGDATA"
fi
exec postgres "$@"
