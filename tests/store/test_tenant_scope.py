"""Every statement says whose rows it means: by tenant, and by driver where it joins what is about a person.

Row-level security keeps a reader's statement inside its tenant. The server itself writes as a role that sees
every tenant, so a join by an id alone lets a row of one tenant act on another's. This reads all SQL there is:
``realtime/store/sql``, the functions of the migrations, and what Python modules have in strings.
"""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from realtime.store.alerts import circumstances, press_groups
from realtime.store.db import queries
from realtime.store.people import erasure

from .sqlscope import Finding, TenantScope, UnreadableError, functions_of, tables_of

ROOT: Final = Path(__file__).parents[2]
STORE: Final = ROOT / "realtime" / "store"
PACKAGES: Final = ("realtime", "alerts", "geo")
MIGRATIONS: Final = [file.read_text() for file in sorted((STORE / "migrations").glob("*.sql"))]
TABLES: Final = tables_of(MIGRATIONS)
SCOPE: Final = TenantScope(TABLES)

ALL: Final = "of all tenants: what this process does for every one of them"
ALERT_ID: Final = (
    "by an alert's id, a hash of tenant, driver and press; the ledger's callers checked whose it is"
)
PRESSES: Final = "by the id that a press promised, a hash of tenant, driver and press"
ATTEMPT: Final = (
    "by an attempt's id or a provider's, which were made for one attempt; a callback names no tenant"
)
ADDRESS: Final = "a telephone's STOP and the bound of codes to it are one in all tenants; see docs/STORAGE.md"
TOKEN: Final = "a push token that its provider no longer knows is good in no tenant"
LINK: Final = "a link names no tenant: it is found by its id, and opens by its secret"
ONE_OF_TWO: Final = "a share is to a journey or to an alert, never to both (shares_of_one)"
TIMER_ID: Final = "by a timer's id, a hash of tenant, driver and the app's id"
COPIED: Final = "the scopes that were announced: each row goes into the copy of its own scope"
SUBJECT: Final = "devices are a subject's; a device of a dispatcher has no driver"

EXCEPTIONS: Final[dict[tuple[str, str, str], str]] = {
    (
        "alert_console.recent",
        "alerts",
        "unrestricted",
    ): "the operator's terminal: of all tenants unless one is named",
    (
        "alert_console.named",
        "alerts",
        "unrestricted",
    ): "the operator's terminal: of all tenants unless one is named",
    (
        "alert_console.named",
        "alert_presses",
        "unrestricted",
    ): "the same; compared with the alert by tenant and driver",
    ("alert_reads.get", "alert_presses", "unjoined by driver_id"): PRESSES,
    ("alert_reads.get", "alerts", "unjoined by driver_id"): PRESSES,
    ("alert_reads.changed", "alerts", "unrestricted"): ALL,
    ("alert_reads.open_written", "alerts", "unrestricted"): ALL,
    ("alert_reads.every_open", "alerts", "unrestricted"): ALL,
    ("alerts.lock", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.lock", "alert_presses", "unrestricted"): PRESSES,
    ("alerts.lock", "alert_presses", "unjoined by driver_id"): PRESSES,
    ("alerts.look", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.look", "alert_presses", "unrestricted"): PRESSES,
    ("alerts.look", "alert_presses", "unjoined by driver_id"): PRESSES,
    ("alerts.look", "alerts", "unjoined by driver_id"): PRESSES,
    ("alerts.look_all", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.attempts_of_all", "alert_attempts", "unrestricted"): ALERT_ID,
    ("alerts.history_of_all", "alert_events", "unrestricted"): ALERT_ID,
    ("alerts.attempts", "alert_attempts", "unrestricted"): ALERT_ID,
    ("alerts.lock_if_free", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.lock_attempts", "alert_attempts", "unrestricted"): ALERT_ID,
    ("alerts.move_alert", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.update_alert", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.put_off", "alerts", "unrestricted"): ALERT_ID,
    ("alerts.due_alerts", "alerts", "unrestricted"): ALL,
    ("alerts.due_alerts", "alert_attempts", "unrestricted"): ALL,
    ("alerts.anything_due", "alerts", "unrestricted"): ALL,
    ("alerts.anything_due", "alert_attempts", "unrestricted"): ALL,
    ("alerts.write_lane", "alert_attempts", "unrestricted"): ATTEMPT,
    ("alerts.put_off_attempts", "alert_attempts", "unrestricted"): ATTEMPT,
    ("alerts.claimable", "alert_attempts", "unrestricted"): ALL,
    ("alerts.lease", "alert_attempts", "unrestricted"): ATTEMPT,
    ("alerts.of_provider_id", "alert_attempts", "unrestricted"): ATTEMPT,
    ("alerts.of_attempt", "alert_attempts", "unrestricted"): ATTEMPT,
    ("audit.unanswered", "alerts", "unrestricted"): ALL,
    ("audit.counts", "alerts", "unrestricted"): ALL,
    ("audit.waiting", "alert_attempts", "unrestricted"): ALL,
    ("audit.stuck", "alerts", "unrestricted"): ALL,
    ("audit.stuck", "alert_attempts", "unrestricted"): ALL,
    ("audit.sent", "alerts", "unrestricted"): ALL,
    ("audit.sent", "alert_attempts", "unrestricted"): ALL,
    ("audit.held", "safety_timers", "unrestricted"): ALL,
    ("circumstances.contacts of_everybody", "contacts", "unrestricted"): ALL,
    ("circumstances.policies of_everybody", "alert_policies", "unrestricted"): ALL,
    ("circumstances.drivers of_everybody", "driver_safety", "unrestricted"): ALL,
    ("circumstances.devices of_everybody", "devices", "unrestricted"): ALL,
    ("circumstances.devices of_tenants", "devices", "unjoined by driver_id"): SUBJECT,
    ("circumstances.devices of_tenant", "devices", "unjoined by driver_id"): SUBJECT,
    ("circumstances.for_presses", "devices", "unjoined by driver_id"): SUBJECT,
    ("changes.of_address", "contacts", "unrestricted"): ADDRESS,
    ("circumstances.devices of_subjects", "devices", "unjoined by driver_id"): COPIED,
    ("codes.spent", "code_sends", "unrestricted"): ADDRESS,
    ("codes.prune", "code_sends", "unrestricted"): ALL,
    ("codes.prune", "contact_codes", "unrestricted"): ALL,
    ("contacts.opt_out", "contacts", "unrestricted"): ADDRESS,
    ("contacts.opt_out", "code_sends", "unrestricted"): ADDRESS,
    ("contacts.opt_in", "opt_outs", "unrestricted"): ADDRESS,
    ("deadlines.nearest", "safety_timers", "unrestricted"): ALL,
    ("devices.forget_oldest", "devices", "unjoined by driver_id"): SUBJECT,
    ("devices.prune", "devices", "unrestricted"): TOKEN,
    ("devices.forget_unseen", "devices", "unrestricted"): ALL,
    ("hooks.last_asked", "alerts", "unrestricted"): ADDRESS,
    ("hooks.last_asked", "alert_attempts", "unrestricted"): ADDRESS,
    ("incidents.alerted", "alerts", "unrestricted"): ALL,
    ("incidents.alerted", "alert_presses", "unrestricted"): ALL,
    ("incidents.past", "incident_points", "unrestricted"): ALL,
    ("incidents.past", "journeys", "unrestricted"): ALL,
    ("incidents.forget_alerts", "alerts", "unrestricted"): ALL,
    ("journeys.expire", "journeys", "unrestricted"): ALL,
    ("mirror.open_journeys", "journeys", "unrestricted"): ALL,
    ("mirror.open_alerts", "alerts", "unrestricted"): ALL,
    ("revocations.every", "revoked_tokens", "unrestricted"): ALL,
    ("revocations.changed", "revoked_tokens", "unrestricted"): ALL,
    ("shares.viewed", "shares", "unrestricted"): LINK,
    ("shares.lasting", "shares", "unrestricted"): LINK,
    ("shares.open", "shares", "unrestricted"): LINK,
    ("shares.open", "alerts", "unrestricted"): LINK,
    ("shares.open", "journeys", "unrestricted"): LINK,
    ("shares.open", "alerts", "unjoined by driver_id"): ONE_OF_TWO,
    ("shares.open", "journeys", "unjoined by driver_id"): ONE_OF_TWO,
    ("timers.lock_due", "safety_timers", "unrestricted"): TIMER_ID,
    ("timers.put_off", "safety_timers", "unrestricted"): TIMER_ID,
    ("timers.due", "safety_timers", "unrestricted"): ALL,
    ("upkeep.forget_pairings", "pairings", "unrestricted"): ALL,
    ("upkeep.forget_tokens", "revoked_tokens", "unrestricted"): ALL,
}
"""(statement, table, finding) -> why it may be so. One that no statement needs any more fails the test."""

FRAGMENTS: Final = frozenset(
    {
        "contacts.columns",
        "database.and_lock_timeout",
        "circumstances.search",
        "circumstances.end_search",
        *(f"circumstances.rows_{name}" for name in ("of_everybody", "of_scope", "of_many")),
        *(f"circumstances.of_{name}" for name in ("everybody", "driver", "drivers", "tenant", "tenants")),
        *(f"circumstances.{name}" for name in ("rows_of_scopes", "of_subjects", "of_found_contacts")),
    }
)
"""Parts of statements: they are read in the statements that they are put into."""

TEMPLATES: Final = {
    "points": ("journey_points", "incident_points"),
    "source": ("journey_points",),
    "columns": (queries.load("contacts")["columns"],),
    **dict.fromkeys(("name", "first", "end"), ("journey_points_20260101",)),
    "tenant": ("E't1'",),
}
"""What stands for a name in braces."""


@functools.cache
def statements() -> list[tuple[str, str]]:
    """(name, SQL) of everything that is sent to Postgres."""
    return list(_statements())


def _statements() -> Iterator[tuple[str, str]]:
    for file in sorted((STORE / "sql").glob("*.sql")):
        for name, sql in queries.load(file.stem).items():
            full = f"{file.stem}.{name}"
            if full in FRAGMENTS or (file.stem in ("circumstances", "erasure") and "{" in sql):
                continue
            for rendered in renderings(sql):
                yield full, rendered
    for query, scopes in {
        "contacts": ("of_scope", "of_many", "of_scopes", "of_everybody"),
        "policies": ("of_scope", "of_many", "of_scopes", "of_everybody"),
        "drivers": ("of_driver", "of_drivers", "of_everybody"),
        "devices": ("of_tenant", "of_tenants", "of_subjects", "of_everybody"),
    }.items():
        for scope in scopes:
            yield f"circumstances.{query} {scope}", circumstances.query(query, scope)
    yield "circumstances.for_presses", press_groups.READ
    yield from erasures()
    for name, function in dict(functions_of(MIGRATIONS)).items():
        yield f"function {name}", function.body
    for package in PACKAGES:
        for module in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" not in module.parts:
                yield from in_strings(module)


def renderings(sql: str) -> Iterator[str]:
    wanted = set(re.findall(r"\{([a-z]\w*)\}", sql))
    for index in range(max((len(TEMPLATES[name]) for name in wanted), default=1)):
        rendered = sql
        for name in wanted:
            rendered = rendered.replace("{" + name + "}", (TEMPLATES[name] * 2)[index])
        yield rendered


def erasures() -> Iterator[tuple[str, str]]:
    """What an erasure counts and deletes in each table."""
    ids = erasure.ErasureScope(*[["x"]] * 5)  # type: ignore[list-item]  # of any one thing of each sort
    work = erasure.Erasure(None, "t1", "", 0, ids, {})  # type: ignore[arg-type]
    for query in ("count", "delete"):
        for table, columns in TABLES.items():
            named = [*columns - {"tenant_id"}, "journey_id", "alert_id", "contact_id", "share_id"]
            for sql, _ in erasure._statements(query, table, named, "d1", work):
                yield f"erasure.{query} {table}", sql


def in_strings(module: Path) -> Iterator[tuple[str, str]]:
    """Statements in the strings of a Python module that name a table with a tenant."""
    for node in ast.walk(ast.parse(module.read_text())):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", node.value) and any(
            re.search(rf"\b{table}\b", node.value) for table in TABLES
        ):
            yield f"{module.relative_to(ROOT)}", node.value


def arguments_of(name: str) -> dict[str, str]:
    function = dict(functions_of(MIGRATIONS)).get(name.removeprefix("function "))
    return {} if function is None else function.arguments


def test_every_statement_says_whose_rows_it_means() -> None:
    found = {
        (name, finding.table, finding.fault)
        for name, sql in statements()
        for finding in SCOPE.check(sql, arguments_of(name))
    }
    assert found - EXCEPTIONS.keys() == set(), (
        "join by tenant (and driver), or name an exception with its reason"
    )
    assert EXCEPTIONS.keys() - found == set(), "these exceptions are stale"


def test_all_sql_is_read() -> None:
    """So that a file, a function or a table which this test does not see cannot be added."""
    read = {name.partition(" ")[0] for name, _ in statements()}
    written = {
        f"{file.stem}.{name}"
        for file in (STORE / "sql").glob("*.sql")
        for name in queries.load(file.stem)
        if f"{file.stem}.{name}" not in FRAGMENTS
    }
    assert written - read == set()
    assert "function" in read
    assert {"journeys", "alerts", "shares", "safety_timers", "incident_points", "pairings"} <= TABLES.keys()
    bodies = re.findall(r"LANGUAGE (\w+)[^$;]*\$\$(.*?)\$\$", "".join(MIGRATIONS), re.DOTALL)
    assert sum(language == "sql" for language, _ in bodies) == len(list(functions_of(MIGRATIONS)))
    for language, body in bodies:
        assert language == "sql" or not any(re.search(rf"\b{table}\b", body) for table in TABLES), body


@pytest.mark.parametrize(
    ("sql", "faults"),
    [
        ("SELECT 1 FROM journeys WHERE journey_id = $1", ["unrestricted"]),
        ("SELECT 1 FROM journeys WHERE tenant_id = $1 AND journey_id = $2", []),
        ("SELECT 1 FROM journeys WHERE tenant_id = $1 OR journey_id = $2", ["unrestricted"]),
        ("SELECT 1 FROM journeys WHERE tenant_id <> $1", ["unrestricted"]),
        ("SELECT 1 FROM journeys WHERE NOT tenant_id = $1", ["unrestricted"]),
        (
            "SELECT 1 FROM shares s JOIN journeys j USING (journey_id) WHERE s.tenant_id = $1",
            ["unjoined by tenant_id"],
        ),
        ("SELECT 1 FROM shares s JOIN journeys j USING (tenant_id, journey_id) WHERE s.tenant_id = $1", []),
        (
            "SELECT 1 FROM alerts a JOIN journeys j "
            "ON j.tenant_id = a.tenant_id AND j.journey_id = a.journey_id WHERE a.tenant_id = $1",
            ["unjoined by driver_id"] * 2,
        ),
        (
            "SELECT 1 FROM alerts a, journeys j WHERE a.tenant_id = $1 AND j.tenant_id = $1",
            ["unjoined by driver_id"] * 2,
        ),
        (
            "SELECT 1 FROM journeys j WHERE j.tenant_id = $1 AND EXISTS "
            "(SELECT FROM alerts a WHERE a.journey_id = j.journey_id)",
            ["unrestricted", "unjoined by driver_id"],
        ),
        (
            "SELECT 1 FROM journeys j WHERE j.tenant_id = $1 AND EXISTS "
            "(SELECT FROM alerts a WHERE a.tenant_id = j.tenant_id AND a.driver_id = j.driver_id)",
            [],
        ),
        (
            "SELECT 1 FROM journeys j CROSS JOIN LATERAL "
            "(SELECT 1 FROM journey_points WHERE journey_id = j.journey_id LIMIT 1) p WHERE j.tenant_id = $1",
            ["unrestricted"],
        ),
        (
            "WITH named AS (SELECT journey_id FROM alerts WHERE tenant_id = $1) "
            "SELECT 1 FROM named JOIN journeys USING (journey_id)",
            ["unjoined by tenant_id"],
        ),
        (
            "WITH named AS (SELECT tenant_id, driver_id, journey_id FROM alerts WHERE tenant_id = $1) "
            "SELECT 1 FROM named JOIN journeys USING (tenant_id, driver_id, journey_id)",
            [],
        ),
        ("UPDATE shares SET revoked_ms = 1 WHERE share_id = $1", ["unrestricted"]),
        ("DELETE FROM incident_points WHERE journey_id = $1", ["unrestricted"]),
        ("DELETE FROM alerts WHERE tenant_id = $1 AND alert_id IN (SELECT alert_id FROM alert_presses)",
         ["unrestricted", "unjoined by driver_id"]),
        ("INSERT INTO shares (share_id) VALUES ($1)", ["unnamed"]),
        ("INSERT INTO shares (share_id, tenant_id) SELECT $1, tenant_id FROM alerts WHERE alert_id = $2",
         ["unrestricted"]),
        ("SELECT 1 FROM unnest($1::uuid[]) w (x) JOIN journeys ON journey_id = x", ["unrestricted"]),
        (
            "SELECT 1 FROM unnest($1::text[]) w (tenant_id, journey_id) "
            "JOIN journeys USING (tenant_id, journey_id)",
            [],
        ),
        (
            "SELECT 1 FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) w (tenant_id, vendor_id) "
            "JOIN contacts c ON c.tenant_id = w.tenant_id",
            [],
        ),
        (
            "SELECT 1 FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) w (tenant_id, vendor_id) "
            "JOIN contacts c ON c.vendor_id = w.vendor_id",
            ["unjoined by tenant_id"],
        ),
        ("SELECT 1 FROM drivers WHERE (tenant_id, driver_id) IN (SELECT * FROM unnest($1, $2))", []),
        ("SELECT 1 FROM drivers WHERE (vendor_id, x) IN (SELECT * FROM unnest($1, $2))", ["unrestricted"]),
        ("SELECT 1 FROM alerts WHERE tenant_id = $1 UNION SELECT 1 FROM alerts", ["unrestricted"]),
        ("SELECT (SELECT max(seq) FROM journey_points WHERE journey_id = $1)", ["unrestricted"]),
    ],
)  # fmt: skip
def test_the_check_finds_what_is_not_tied(sql: str, faults: list[str]) -> None:
    assert [finding.fault for finding in SCOPE.check(sql)] == faults


def test_the_check_finds_a_join_by_a_journey_id_alone() -> None:
    """As `incidents.alerted` was: an SOS of any tenant that named a journey kept its points."""
    was = """
    WITH alerted AS (SELECT journey_id FROM alerts WHERE journey_id >= $1 AND NOT drill)
    SELECT j.journey_id, j.tenant_id FROM alerted JOIN journeys j USING (journey_id)
    """
    assert Counter(SCOPE.check(was)) == {
        Finding("alerts", "unrestricted"): 1,
        Finding("journeys", "unjoined by tenant_id"): 1,
    }


def test_what_cannot_be_read_is_an_error() -> None:
    with pytest.raises(UnreadableError):
        SCOPE.check("EXPLAIN SELECT 1 FROM journeys")
    with pytest.raises(UnreadableError):
        SCOPE.check("SELECT 1 FROM (journeys JOIN alerts USING (tenant_id))")
