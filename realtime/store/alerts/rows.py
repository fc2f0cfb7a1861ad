"""A case of the alert engine as rows: loaded under its lock, and what changed of it kept."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct, structs

from alerts import case as cases
from alerts.alert import OPEN, Alert, Press
from alerts.attempt import Attempt, StatusReport
from alerts.case import Audit, Case, Changes
from alerts.clock_skew import settled_into
from alerts.leases import claim_ms, host_in, urgency
from alerts.policy import PolicyCopy
from realtime.store.db.queries import load

SQL: Final = load("alerts")

_ATTEMPT_COLUMNS: Final = 12
_EVENT_COLUMNS: Final = 8
_log = logging.getLogger(__name__)

_read_alert: Final = msgspec.json.Decoder(Alert).decode
_read_copy: Final = msgspec.json.Decoder(PolicyCopy).decode
_read_attempt: Final = msgspec.json.Decoder(Attempt).decode
_read_report: Final = msgspec.json.Decoder(StatusReport).decode


class Held(Struct, frozen=True):
    """A case whose rows are locked until the transaction ends; ``now_ms`` by Postgres' clock."""

    case: Case
    now_ms: int


def json(value: Any) -> str:
    """``value`` as the text of a json column."""
    return msgspec.json.encode(value).decode()


def alert_of(row: asyncpg.Record) -> Alert:
    """The alert of a row with ``alert``."""
    return _read_alert(row["alert"])


def copy_of(row: asyncpg.Record) -> PolicyCopy:
    """The policy of a row with ``policy_copy``."""
    return _read_copy(row["policy_copy"])


def attempt_of(row: asyncpg.Record) -> Attempt:
    """The attempt of a row with ``attempt``."""
    return _read_attempt(row["attempt"])


async def hold(connection: asyncpg.Connection, alert_id: UUID, *, wait: bool = True) -> Held | None:
    """The case of ``alert_id`` (also by the id that a press promised before it joined), its rows locked.

    None when there is none, or, unless told to ``wait``, when somebody else holds it.
    """
    row = await connection.fetchrow(SQL["lock" if wait else "lock_if_free"], alert_id)
    if row is None:
        return None
    alert = alert_of(row)
    found = [attempt_of(r) for r in await connection.fetch(SQL["lock_attempts"], alert.alert_id)]
    case = Case(alert, copy_of(row), {a.attempt_id: a for a in found})
    return Held(await _by_the_clock(connection, case, row["now_ms"]), row["now_ms"])


async def look(connection: asyncpg.Connection, alert_id: UUID) -> Case | None:
    """The same without a lock, as it stands now."""
    row = await connection.fetchrow(SQL["look"], alert_id)
    if row is None:
        return None
    alert = alert_of(row)
    found = [attempt_of(r) for r in await connection.fetch(SQL["attempts"], alert.alert_id)]
    return Case(alert, copy_of(row), {a.attempt_id: a for a in found})


async def look_all(connection: asyncpg.Connection, alert_ids: Sequence[UUID]) -> dict[UUID, Case]:
    """Many of them, by their own ids; those that there are."""
    if not alert_ids:
        return {}
    # The attempts last: they may then be newer than their alert, and none of its messages is unknown.
    alerts = [(alert_of(row), copy_of(row)) for row in await connection.fetch(SQL["look_all"], alert_ids)]
    attempts: dict[UUID, dict[UUID, Attempt]] = {alert.alert_id: {} for alert, _ in alerts}
    for row in await connection.fetch(SQL["attempts_of_all"], alert_ids):
        attempt = attempt_of(row)
        attempts.setdefault(UUID(int=row["alert_id"].int), {})[attempt.attempt_id] = attempt
    return {alert.alert_id: Case(alert, copy, attempts[alert.alert_id]) for alert, copy in alerts}


async def lacking(
    connection: asyncpg.Connection, histories: Mapping[UUID, Sequence[Audit]]
) -> frozenset[UUID]:
    """The alerts of whose history there are lines that `keep_history` would write."""
    kept: set[tuple[UUID, int, str, str]] = set()
    wanted = [alert_id for alert_id, audit in histories.items() if audit]
    times_ms = sorted({line.at_ms for alert_id in wanted for line in histories[alert_id]})
    for row in await connection.fetch(SQL["history_of_all"], wanted, times_ms) if wanted else ():
        kept.add((UUID(int=row["alert_id"].int), row["at_ms"], row["what"], row["actor"]))
    return frozenset(
        alert_id
        for alert_id in wanted
        if any((alert_id, e.at_ms, e.what, json(e.actor)) not in kept for e in histories[alert_id])
    )


async def keep(connection: asyncpg.Connection, before: Case | None, changes: Changes, now_ms: int) -> Changes:
    """Write ``changes``, then what providers said too early of the sends among them; all that has changed.

    Of a case that is not there yet, ``before`` being None, every attempt is written.
    """
    if before is None:
        changes = structs.replace(changes, touched=tuple(changes.case.attempts.values()))
    elif before.alert.kind is not changes.case.alert.kind:
        # An SOS has joined a timer's alert: its messages that wait are those of an SOS from now on.
        waiting = tuple(a for a in before.attempts.values() if claim_ms(a) is not None)
        again = tuple(changes.case.attempts[a.attempt_id] for a in waiting)
        changes = structs.replace(changes, touched=(*again, *changes.touched))
    await _write(connection, before, changes)
    for attempt in changes.touched:
        known = None if before is None else before.attempts.get(attempt.attempt_id)
        if attempt.provider and attempt.provider_id and (
            known is None or (known.provider, known.provider_id) != (attempt.provider, attempt.provider_id)
        ):  # fmt: skip
            changes = await _reported_early(connection, changes, attempt, now_ms)
    return changes


async def keep_new(connection: asyncpg.Connection, opened: Sequence[tuple[Press, Changes]]) -> None:
    """Write cases that are not there yet, each with the press that opened it, in one statement."""
    alerts = [_alert_columns(changes.case, changes.next_ms) for _, changes in opened]
    attempts = [
        (*row, changes.case.alert.alert_id, changes.case.alert.tenant)
        for _, changes in opened
        for row in _attempt_rows(tuple(changes.case.attempts.values()), changes.case)
    ]
    events = [
        (*row, changes.case.alert.alert_id, changes.case.alert.tenant)
        for _, changes in opened
        for row in _event_rows(changes.audit)
    ]
    presses = [_press_row(press, c.case.alert.alert_id, c.case.alert.alert_id) for press, c in opened]
    await connection.execute(
        SQL["insert_cases"],
        *_columns(alerts),
        *_columns(attempts, _ATTEMPT_COLUMNS),
        *_columns(events, _EVENT_COLUMNS),
        *_columns(presses),
    )


async def keep_attempt(connection: asyncpg.Connection, case: Case, attempt: Attempt) -> None:
    """Write one attempt of ``case``, and nothing else."""
    await _write_attempts(connection, case, [attempt])


async def keep_press(
    connection: asyncpg.Connection, press: Press, alert_id: UUID, own_alert_id: UUID
) -> bool:
    """Note that ``press`` went into ``alert_id``; False when it is there already."""
    given = _press_row(press, alert_id, own_alert_id)
    return await connection.fetchval(SQL["insert_press"], *given) is not None


async def keep_history(connection: asyncpg.Connection, alert: Alert, audit: Sequence[Audit]) -> None:
    """Write those of ``audit`` that are not there yet."""
    if audit:
        await connection.execute(
            SQL["keep_new_events"], alert.alert_id, alert.tenant, *_columns(_event_rows(audit))
        )


async def _by_the_clock(connection: asyncpg.Connection, case: Case, now_ms: int) -> Case:
    """``case``, its times moved when Postgres' clock was set back; nobody waits for that future."""
    settled = settled_into(case, now_ms)
    if settled is not case:
        _log.warning("the database's clock was set back: an alert's times are moved")
        await connection.execute(SQL["move_alert"], case.alert.alert_id, json(settled.alert))
        await _write_attempts(connection, settled, tuple(settled.attempts.values()))
    return settled


async def _write_attempts(connection: asyncpg.Connection, case: Case, attempts: Sequence[Attempt]) -> None:
    if attempts:
        columns = _columns(_attempt_rows(attempts, case))
        await connection.execute(SQL["keep_attempts"], case.alert.alert_id, case.alert.tenant, *columns)


async def _write(connection: asyncpg.Connection, before: Case | None, changes: Changes) -> None:
    after = changes.case
    if before is None:
        await connection.execute(SQL["insert_alert"], *_alert_columns(after, changes.next_ms))
    else:
        await connection.execute(SQL["update_alert"], *_changed_columns(before, after, changes.next_ms))
    await _write_attempts(connection, after, changes.touched)
    if changes.audit:
        owner = (after.alert.alert_id, after.alert.tenant)
        await connection.execute(SQL["keep_events"], *owner, *_columns(_event_rows(changes.audit)))


async def _reported_early(
    connection: asyncpg.Connection, changes: Changes, attempt: Attempt, now_ms: int
) -> Changes:
    # With the lock, a report that is being kept at this moment is one that we see: `alert_steps.find_sent`.
    await connection.execute(SQL["lock_provider_id"], attempt.provider, attempt.provider_id)
    for row in await connection.fetch(SQL["take_early"], attempt.provider, attempt.provider_id):
        before = changes.case
        changes = cases.reported(before, attempt.attempt_id, _read_report(row["report"]), now_ms)
        await _write(connection, before, changes)
    return changes


# --- columns


def _closed_ms(alert: Alert) -> int | None:
    return None if alert.state in OPEN else alert.closed_ms or alert.raised_ms


def _alert_columns(case: Case, next_ms: int | None) -> tuple[Any, ...]:
    a = case.alert
    return (
        a.alert_id, a.tenant, a.vendor, a.driver, a.journey_id, a.kind.value, a.state.value, a.drill,
        a.raised_ms, _closed_ms(a), a.version, next_ms, json(a), json(case.copy),
    )  # fmt: skip


def _changed_columns(before: Case, after: Case, next_ms: int | None) -> tuple[Any, ...]:
    a = after.alert
    copied = None if after.copy == before.copy else json(after.copy)
    return (
        a.alert_id, a.state.value, _closed_ms(a), a.journey_id, a.kind.value, a.version, next_ms, json(a),
        copied,
    )  # fmt: skip


def _press_row(press: Press, alert_id: UUID, own_alert_id: UUID) -> tuple[Any, ...]:
    return (
        press.tenant, press.driver, press.sos_id, alert_id, own_alert_id, json(press), press.received_ms,
    )  # fmt: skip


def _attempt_rows(attempts: Sequence[Attempt], case: Case) -> list[tuple[Any, ...]]:
    # Of two changes of one attempt in a step the later counts: Postgres refuses to write a row twice at once.
    latest = {a.attempt_id: a for a in attempts}.values()
    return [
        (
            a.attempt_id, a.channel.value, a.status.value, urgency(a, case.alert), a.due_ms, claim_ms(a),
            a.provider, a.provider_id, json(a), host_in(case.copy, a),
        )
        for a in latest
    ]  # fmt: skip


def _event_rows(audit: Sequence[Audit]) -> list[tuple[Any, ...]]:
    return [(e.version, e.at_ms, json(e.actor), e.what, e.arrow, json(e.detail)) for e in audit]


def _columns(rows: Sequence[tuple[Any, ...]], width: int = 0) -> list[list[Any]]:
    """The columns of ``rows``; ``width`` empty ones when there is no row."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
