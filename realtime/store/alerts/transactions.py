"""What the ledger does inside one transaction: a press taken, an event applied, a journal's case brought in.

Whoever has a transaction of their own (the safety timers) calls these on its connection.
"""

import logging
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
from msgspec import structs

from alerts import case as cases
from alerts.alert import OPEN, Alert, Press, alert_id_of
from alerts.attempt import Channel, Status, StatusReport
from alerts.case import Audit, Case, Changes
from alerts.clock_skew import settled_into
from alerts.events import CaseEvent
from alerts.leases import contact_of, host_of, lane_of, urgency, without_held
from alerts.policy import OPERATOR, Circumstances
from alerts.ports import Applied, DeliveryJob, Reservation, Taken
from alerts.press_ids import companion_case, companion_press
from realtime.store.alerts import rows
from realtime.store.alerts.rows import SQL, Held
from realtime.store.db.queries import load

_WRITE_SOMETHING: Final = load("commit")["write_something"]
UNREAD_PUT_OFF_MS: Final = 5_000
_log = logging.getLogger(__name__)
_SEPARATOR: Final = "\x1f"


def is_change(before: Case, changes: Changes) -> bool:
    """Whether there is anything to write."""
    return bool(changes.touched or changes.audit) or changes.case.alert != before.alert


async def press(connection: asyncpg.Connection, press: Press, circumstances: Circumstances) -> Taken:
    """Take ``press``: again, it finds its alert; another joins the driver's open one; else it opens one."""
    await connection.execute(SQL["lock_driver"], press.tenant, press.driver)
    own_id = alert_id_of(press.tenant, press.driver, press.sos_id)
    given = (press.tenant, press.driver, press.sos_id, own_id, press.drill)
    found = await connection.fetchrow(SQL["situation"], *given)
    if found["alert"] is not None:
        known = rows.alert_of(found)
        if not await rows.keep_press(connection, press, known.alert_id, own_id):
            # What is acknowledged must be durable: a commit waits only for a transaction that wrote.
            await connection.execute(_WRITE_SOMETHING)
        return Taken(known, "committed", created=False, joined=known.alert_id != own_id)
    if not found["is_driver_known"]:
        await connection.execute(SQL["ensure_driver"], press.tenant, press.vendor, press.driver)
    open_id = found["open_id"]
    held = None if open_id is None else await rows.hold(connection, open_id)
    if held is None or held.case.alert.state not in OPEN:
        changes = cases.opened(press, circumstances, found["now_ms"])
        await rows.keep_new(connection, [(press, changes)])
        return Taken(changes.case.alert, "committed", created=True, joined=False)
    changes = cases.joined(held.case, press, circumstances, held.now_ms)
    changes = await rows.keep(connection, held.case, changes, held.now_ms)
    alert = changes.case.alert
    await rows.keep_press(connection, press, alert.alert_id, own_id)
    return Taken(alert, "committed", created=alert.alert_id == own_id, joined=alert.alert_id != own_id)


async def open_many(
    connection: asyncpg.Connection, presses: Sequence[tuple[Press, Circumstances]]
) -> list[Taken | None]:
    """Lock the drivers of ``presses`` and take those that open an alert, as `open_locked` does."""
    if not presses:
        return []
    drivers = [one.tenant for one, _ in presses], [one.driver for one, _ in presses]
    locked = {row["place"] for row in await connection.fetch(SQL["lock_free_drivers"], *drivers)}
    return await open_locked(connection, presses, locked)


async def open_locked(
    connection: asyncpg.Connection, presses: Sequence[tuple[Press, Circumstances]], locked: Collection[int]
) -> list[Taken | None]:
    """Take the presses that open an alert, with one statement a table; None for each that is not taken.

    That is a press of a driver who has an open alert, or whom another transaction has, and all but the first
    of one driver: `press` takes those one by one. So nothing is waited for while the drivers' locks are held.
    ``locked``: the places, from 1, of the presses whose drivers an earlier statement of this transaction has
    locked.
    """
    if not locked:
        return [None] * len(presses)
    given = [one for one, _ in presses]
    own_ids = [alert_id_of(one.tenant, one.driver, one.sos_id) for one in given]
    found = await connection.fetch(
        SQL["situations"],
        [one.tenant for one in given],
        [one.driver for one in given],
        [one.sos_id for one in given],
        own_ids,
        [one.drill for one in given],
    )
    taken: list[Taken | None] = [None] * len(presses)
    opened: list[tuple[Press, Changes]] = []
    unknown: list[Press] = []
    seen = set[tuple[str, str]]()
    for row in sorted(found, key=lambda row: row["place"]):
        one, circumstances = presses[row["place"] - 1]
        key = (one.tenant, one.driver)
        if row["place"] not in locked or row["has_alert"] or key in seen:
            continue
        seen.add(key)
        if not row["is_driver_known"]:
            unknown.append(one)
        changes = cases.opened(one, circumstances, row["now_ms"])
        opened.append((one, changes))
        taken[row["place"] - 1] = Taken(changes.case.alert, "committed", created=True, joined=False)
    # In one order everywhere: two transactions that add drivers of one vendor wait for each other's rows.
    for one in sorted(unknown, key=lambda one: (one.tenant, one.vendor, one.driver)):
        await connection.execute(SQL["ensure_driver"], one.tenant, one.vendor, one.driver)
    if opened:
        await rows.keep_new(connection, opened)
    return taken


async def apply(connection: asyncpg.Connection, held: Held, event: CaseEvent) -> Applied:
    """Let ``event`` happen to what is held. A refusal is kept in the history."""
    changes = cases.applied(held.case, event, held.now_ms)
    if is_change(held.case, changes):
        changes = await rows.keep(connection, held.case, changes, held.now_ms)
    return Applied(changes.case.alert, changes.refused)


async def of_press(connection: asyncpg.Connection, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
    """The alert that a press went into."""
    own_id = alert_id_of(tenant, driver, sos_id)
    row = await connection.fetchrow(SQL["of_press"], tenant, driver, sos_id, own_id)
    return None if row is None else rows.alert_of(row)


async def import_case(
    connection: asyncpg.Connection,
    case: Case,
    presses: Sequence[Press],
    audit: Sequence[Audit],
    their_now_ms: int | None,
    known: Circumstances | None = None,
) -> Alert:
    """Bring in what a journal kept; see `PostgresLedger.import_case`. ``known``: completes its snapshot."""
    whose, case = case.alert, without_held(case)
    await connection.execute(SQL["lock_driver"], whose.tenant, whose.driver)
    await connection.execute(SQL["ensure_driver"], whose.tenant, whose.vendor, whose.driver)
    case, routes = await _apart(connection, case, presses)
    theirs, presses = case.alert, [one for one, _ in routes]
    held = await _home(connection, case, presses)
    now_ms = held.now_ms if held is not None else await connection.fetchval(SQL["clock"])
    case = settled_into(case, now_ms, 0 if their_now_ms is None else their_now_ms - now_ms)
    before = None if held is None else held.case
    changes = cases.merged(before, case, now_ms, known)
    if held is not None and held.case.alert.state not in OPEN and changes.case.alert.state in OPEN:
        # What looked cancelled was not (a duress PIN); it goes into the alert that is open meanwhile, if any.
        open_id = await connection.fetchval(SQL["open_of"], theirs.tenant, theirs.driver, theirs.drill)
        held = held if open_id is None else await rows.hold(connection, open_id)
        before = None if held is None else held.case
        changes = cases.merged(before, case, now_ms, known)
    if before is None or is_change(before, changes):
        changes = await rows.keep(connection, before, changes, now_ms)
    alert = changes.case.alert
    await _keep_presses(connection, theirs, routes, alert.alert_id)
    await rows.keep_history(connection, alert, audit)
    await connection.execute(_WRITE_SOMETHING)
    return alert


async def _keep_presses(
    connection: asyncpg.Connection, theirs: Alert, routes: Sequence[tuple[Press, UUID]], alert_id: UUID
) -> None:
    """Note where each press went, with the alert id that it was promised; that of ``theirs`` at least, so
    that its id finds the alert for good.
    """
    if all(press.sos_id != theirs.sos_id for press, _ in routes):
        routes = (*routes, (_press_of(theirs), alert_id_of(theirs.tenant, theirs.driver, theirs.sos_id)))
    for press, own_id in routes:
        await rows.keep_press(connection, press, alert_id, own_id)


async def _apart(
    connection: asyncpg.Connection, case: Case, presses: Sequence[Press]
) -> tuple[Case, list[tuple[Press, UUID]]]:
    """``case`` and ``presses``, under companion ids where Postgres has a drill of that id and they are none,
    or the other way round (`alerts.press_ids`); with each press the alert id that the journal promised.
    """
    theirs = case.alert
    sos_ids = list(dict.fromkeys([theirs.sos_id, *(press.sos_id for press in presses)]))
    own_ids = [alert_id_of(theirs.tenant, theirs.driver, sos_id) for sos_id in sos_ids]
    own_ids[0] = theirs.alert_id
    found = await connection.fetch(
        SQL["of_other_drill"], theirs.tenant, theirs.driver, sos_ids, own_ids, theirs.drill
    )
    others = {UUID(int=row["sos_id"].int) for row in found}
    routes = [
        (
            companion_press(press) if press.sos_id in others else press,
            alert_id_of(press.tenant, press.driver, press.sos_id),
        )
        for press in presses
    ]
    return companion_case(case) if theirs.sos_id in others else case, routes


def _press_of(alert: Alert) -> Press:
    return Press(
        alert.tenant, alert.vendor, alert.driver, alert.sos_id, alert.kind, alert.raised_ms, alert.pressed_ms,
        "http", alert.journey_id, alert.place, alert.message, alert.silent, alert.drill,
    )  # fmt: skip


async def find_sent(connection: asyncpg.Connection, report: StatusReport) -> tuple[UUID, UUID] | None:
    """(alert id, attempt id) of the send that ``report`` speaks of; when there is none yet it is kept for it.

    The second look is under the lock that the recording of a send takes before it looks for early reports:
    either that sees what is kept here, or this sees what it has recorded.
    """
    key = (report.provider, report.provider_id)
    row = await connection.fetchrow(SQL["of_provider_id"], *key)
    if row is None:
        await connection.execute(SQL["lock_provider_id"], *key)
        row = await connection.fetchrow(SQL["of_provider_id"], *key)
    if row is None:
        await connection.execute(SQL["keep_early"], *key, report.status.value, rows.json(report))
        return None
    return UUID(int=row["alert_id"].int), UUID(int=row["attempt_id"].int)


async def claim(
    connection: asyncpg.Connection,
    by: str,
    slots: Reservation,
    lease_s: float,
    left_alone: Sequence[UUID] = (),
) -> tuple[list[DeliveryJob], frozenset[UUID]]:
    """Lease the due attempts that get a slot of ``slots``, none of ``left_alone``'s.

    What is stored is ``sending``, what is returned says what was. The second value: the alerts of attempts
    that cannot be decoded or leased, which hold up no other.
    """
    if not slots.wanted:
        return [], frozenset()
    rows_found = await connection.fetch(SQL["claimable"], *_claimable(slots, left_alone))
    found, jobs, unread = _decoded(rows_found, by, int(lease_s * 1000))
    if unread:
        put_off = connection.execute(SQL["put_off_attempts"], list(unread), UNREAD_PUT_OFF_MS)
        await _done(connection, put_off)
    await _done(connection, _write_lanes(connection, found, jobs))
    jobs = [
        job
        for job in jobs
        if slots.take(job.attempt.attempt_id, lane_of(job.attempt, job.alert, job.contact))
    ]
    jobs = await _with_opt_outs(connection, jobs)
    leased = await _leased(connection, jobs)
    failed = {job.alert.alert_id for job in jobs} - {job.alert.alert_id for job in leased}
    return leased, frozenset(unread.values()) | failed


async def _leased(connection: asyncpg.Connection, jobs: list[DeliveryJob]) -> list[DeliveryJob]:
    """Lease ``jobs`` together, or one by one when that fails; those that are leased."""
    if not jobs or await _done(connection, _write_leases(connection, jobs)):
        return jobs
    return [
        job for job in jobs if len(jobs) > 1 and await _done(connection, _write_leases(connection, [job]))
    ]


async def _write_leases(connection: asyncpg.Connection, jobs: Sequence[DeliveryJob]) -> None:
    leased = [structs.replace(job.attempt, status=Status.SENDING) for job in jobs]
    columns = zip(*((a.attempt_id, a.lease_until_ms, rows.json(a)) for a in leased), strict=True)
    await connection.execute(SQL["lease"], *(list(column) for column in columns))


async def _done(connection: asyncpg.Connection, write: Coroutine[Any, Any, object]) -> bool:
    """Whether ``write`` worked; when Postgres failed its statement, the transaction is as before it."""
    try:
        await connection.execute("SAVEPOINT one")
    except BaseException:
        write.close()
        raise
    try:
        await write
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
            raise  # the whole step is tried again
        _log.error("a write of a claim failed: %s", type(error).__name__)
        await connection.execute("ROLLBACK TO SAVEPOINT one")
        return False
    await connection.execute("RELEASE SAVEPOINT one")
    return True


def _decoded(
    found: Sequence[asyncpg.Record], by: str, lease_ms: int
) -> tuple[list[asyncpg.Record], list[DeliveryJob], dict[UUID, UUID]]:
    """The rows that can be decoded, their jobs, and the alert of each attempt that cannot."""
    good: list[asyncpg.Record] = []
    jobs: list[DeliveryJob] = []
    unread: dict[UUID, UUID] = {}
    for row in found:
        attempt_id, alert_id = UUID(int=row["attempt_id"].int), UUID(int=row["alert_id"].int)
        try:
            job = _job(row, by, lease_ms)
        except Exception as error:  # whatever is in the row, the others are sent
            _log.error(
                "attempt %s of alert %s cannot be decoded: %s", attempt_id, alert_id, type(error).__name__
            )
            unread[attempt_id] = alert_id
            continue
        good.append(row)
        jobs.append(job)
    return good, jobs, unread


def _claimable(slots: Reservation, left_alone: Sequence[UUID]) -> tuple[list[Any], ...]:
    wanted, full = slots.wanted, slots.full
    return (
        [one.channel.value for one in wanted],
        [one.most for one in wanted],
        [one.only_sos for one in wanted],
        list(left_alone),
        *([_SEPARATOR.join(key) for key in keys] for keys in (full.tenants, full.tenants_but_sos)),
        *([_SEPARATOR.join(key) for key in keys] for keys in (full.hosts, full.hosts_but_sos)),
    )


async def _write_lanes(
    connection: asyncpg.Connection, found: Sequence[asyncpg.Record], jobs: Sequence[DeliveryJob]
) -> None:
    """Write host and urgency of attempts of an earlier release, so that claims can pass them over."""
    lanes = [
        (job.attempt.attempt_id, host_of(job.attempt, job.contact), urgency(job.attempt, job.alert))
        for job in jobs
    ]
    differ = [
        lane for row, lane in zip(found, lanes, strict=True) if (row["host"], row["urgency"]) != lane[1:]
    ]
    if differ:
        await connection.execute(SQL["write_lane"], *(list(column) for column in zip(*differ, strict=True)))


async def _with_opt_outs(connection: asyncpg.Connection, jobs: list[DeliveryJob]) -> list[DeliveryJob]:
    """``jobs``, those marked whose number has said STOP since its alert took it along."""
    numbers = [number for job in jobs if (number := _number_of(job)) is not None]
    if not numbers:
        return jobs
    rows_ = await connection.fetch(SQL["opted_out"], *(list(column) for column in zip(*numbers, strict=True)))
    silent = {(row["tenant_id"], row["phone"]) for row in rows_}
    return [structs.replace(job, opted_out=True) if _number_of(job) in silent else job for job in jobs]


def _number_of(job: DeliveryJob) -> tuple[str, str] | None:
    """Whose number the message goes to; that of the operator, who is the last there is, cannot opt out."""
    phone = job.contact.phone
    by_number = job.attempt.channel in (Channel.SMS, Channel.CALL)
    return (job.alert.tenant, phone) if phone and by_number and job.contact.contact_id != OPERATOR else None


def _job(row: asyncpg.Record, by: str, lease_ms: int) -> DeliveryJob:
    attempt, copy = rows.attempt_of(row), rows.copy_of(row)
    attempt = structs.replace(attempt, lease_by=by, lease_until_ms=row["now_ms"] + lease_ms)
    return DeliveryJob(attempt, rows.alert_of(row), contact_of(copy, attempt), copy)


async def _home(connection: asyncpg.Connection, case: Case, presses: Sequence[Press]) -> Held | None:
    """The case that ``case`` belongs into: its own, one that its presses went into, the driver's open one."""
    theirs = case.alert
    if (held := await rows.hold(connection, theirs.alert_id)) is not None:
        return held
    for one in presses:
        known = await of_press(connection, one.tenant, one.driver, one.sos_id)
        if known is not None:
            return await rows.hold(connection, known.alert_id)
    if theirs.state not in OPEN:
        return None
    open_id = await connection.fetchval(SQL["open_of"], theirs.tenant, theirs.driver, theirs.drill)
    return None if open_id is None else await rows.hold(connection, open_id)
