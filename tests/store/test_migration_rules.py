"""No migration reads a table with rows in it under a lock that keeps an SOS out, unless it is listed."""

import pytest

from realtime.store.db.migration import migrations
from tests.store.migration_rules import blocking_statements

FIRST_RELEASE = "tables of the first release, which held no rows"
MILLISECONDS = "shares hold some thousand rows: milliseconds"
LISTED = {
    ("002_alerts.sql", "check shares"): FIRST_RELEASE,
    ("002_alerts.sql", "foreign key shares"): FIRST_RELEASE,
    ("003_alert_shares.sql", "check shares"): MILLISECONDS,
    ("003_alert_shares.sql", "index shares"): MILLISECONDS,
    ("004_answering_shares.sql", "check shares"): MILLISECONDS,
    ("005_tenants_to_the_letter.sql", "index revoked_tokens"): "one row for each revoked token: milliseconds",
    ("007_attempts_by_channel.sql", "index alert_attempts"): "a second for a million attempts; OPERATIONS.md",
    ("008_alerts_of_driver.sql", "index alerts"): "0.2 s for 200,000 alerts; without it a press is slower",
    ("011_links_of_persons.sql", "check shares"): MILLISECONDS,
    ("011_links_of_persons.sql", "foreign key shares"): MILLISECONDS,
    ("012_index_of_links_of_persons.sql", "index shares"): MILLISECONDS,
}
"""What is tolerated, and why. A new migration belongs here only with a measured time."""


def test_each_statement_that_reads_a_table_under_its_lock_is_listed_with_its_reason() -> None:
    found = {(m.name, fault) for m in migrations() for fault in blocking_statements(m.sql)}
    assert found == set(LISTED)


@pytest.mark.parametrize(
    ("sql", "faults"),
    [
        ("CREATE INDEX a ON t (x);", ["index t"]),
        ("create unique index if not exists a on only t (x);", ["index t"]),
        ("CREATE INDEX CONCURRENTLY a ON t (x);", []),
        ("CREATE TABLE t (x int); CREATE INDEX ON t (x);", []),
        ("CREATE TABLE IF NOT EXISTS t (x int); CREATE INDEX ON public.t (x);", []),
        ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES u;", ["foreign key t"]),
        ("ALTER TABLE t ADD COLUMN x int REFERENCES u;", ["foreign key t"]),
        ("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES u NOT VALID;", []),
        ("ALTER TABLE t ADD a int, ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES u NOT VALID;", []),
        ("CREATE TABLE t (x int REFERENCES u); ALTER TABLE t ADD FOREIGN KEY (x) REFERENCES u;", []),
        ("ALTER TABLE t VALIDATE CONSTRAINT f;", []),
        ("ALTER TABLE t ADD CHECK (x > 0);", ["check t"]),
        ("ALTER TABLE ONLY t ADD CONSTRAINT c CHECK (x > 0) NOT VALID;", []),
        ("ALTER TABLE t ADD PRIMARY KEY (x);", ["index t"]),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE (x);", ["index t"]),
        ("ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX a;", []),
        ("ALTER TABLE t ALTER COLUMN x SET NOT NULL;", ["not null t"]),
        ("ALTER TABLE t ALTER x TYPE bigint;", ["type t"]),
        ("ALTER TABLE t ADD COLUMN x int;", []),
        ("-- CREATE INDEX a ON t (x);\nSELECT 'CREATE INDEX a ON t (x);';", []),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ CREATE INDEX a ON t (x); $$;", []),
    ],
)
def test_a_statement_that_reads_a_table_under_its_lock_is_found(sql: str, faults: list[str]) -> None:
    assert blocking_statements(sql) == faults
