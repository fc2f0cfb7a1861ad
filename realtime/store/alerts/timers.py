"""Safety timers in Postgres: armed, answered, ended, listed. `realtime.timers.scheduler` fires them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from alerts import timers
from alerts.alert import Actor, Place
from alerts.timers import LIVE, Sign, Spec, Timer, TimerState
from realtime.protocol import Code, Refused
from realtime.store.alerts import rows as alert_rows
from realtime.store.db.database import Database
from realtime.store.db.queries import load

SQL: Final = load("timers")

MAX_LIVE: Final = 20
"""Timers of one driver that run at once."""
LISTED: Final = 500
"""Timers on a page, unless fewer are asked for."""

_read: Final = msgspec.json.Decoder(Timer).decode


class TimerCursor(NamedTuple):
    """The last timer of a page."""

    created_ms: int
    timer_id: UUID


class TimerPage(NamedTuple):
    """Timers, and what the next page comes after: None on the last one."""

    timers: list[Timer]
    next_after: TimerCursor | None


async def arm(db: Database, tenant: str, vendor: str, driver: str, spec: Spec, by: Actor) -> Timer:
    """Arm a timer; the same ``client_timer_id`` again gives the one that is there, as it stands.

    Raises Refused: invalid (what is wrong with ``spec``, or too many), not_found (``spec`` names a journey
    that is not one of this driver; another driver's is as one that does not exist), unavailable.
    """
    async with db.writer() as connection:
        timer_id = timers.timer_id_of(tenant, driver, spec.client_timer_id)
        known = await connection.fetchrow(SQL["lock"], timer_id, tenant, driver)
        if known is not None:
            return timer_of(known)
        now_ms = await connection.fetchval(alert_rows.SQL["clock"])
        if (wrong := timers.problem(spec, now_ms)) is not None:
            raise Refused(Code.INVALID, wrong)
        # The lock makes the count below hold, and two of the same request one timer.
        await connection.execute(alert_rows.SQL["lock_driver"], tenant, driver)
        await connection.execute(alert_rows.SQL["ensure_driver"], tenant, vendor, driver)
        if await connection.fetchval(SQL["count_live"], tenant, driver) >= MAX_LIVE:
            raise Refused(Code.INVALID, f"{MAX_LIVE} timers are running")
        if spec.journey_id is not None:
            theirs = await journeys_of(connection, [(tenant, driver, spec.journey_id)])
            if not theirs:
                raise Refused(Code.NOT_FOUND, "no such journey")
        sign = await sign_of(connection, tenant, driver, spec.journey_id)
        timer = timers.armed(spec, tenant, vendor, driver, by, sign, now_ms)
        known = await connection.fetchrow(SQL["lock"], timer.timer_id, tenant, driver)
        if known is not None:
            return timer_of(known)
        await put(connection, [timer])
    return timer


async def check_in(db: Database, tenant: str, driver: str, timer_id: UUID | None = None) -> list[Timer]:
    """The driver checks in: that timer, or all of theirs that wait for it, begin anew.

    One that has fired begins anew too; its alert stays what it is. Raises Refused(unavailable).
    """
    return await _each(db, tenant, driver, timer_id, None, timers.checked_in)


async def arrive(
    db: Database, tenant: str, driver: str, timer_id: UUID | None = None, journey_id: UUID | None = None
) -> list[Timer]:
    """The driver has arrived: that timer, those of that journey, or all of theirs are done.

    Raises Refused(unavailable).
    """
    by = timers.driver_actor(driver)
    return await _each(
        db, tenant, driver, timer_id, journey_id, lambda t, now: timers.ended(t, TimerState.DONE, by, now)
    )


async def cancel(db: Database, tenant: str, driver: str, timer_id: UUID, by: Actor) -> Timer | None:
    """Cancel one timer; None when the driver has no such one that runs. Raises Refused(unavailable)."""
    gone = await _each(
        db, tenant, driver, timer_id, None, lambda t, now: timers.ended(t, TimerState.CANCELLED, by, now)
    )
    return gone[0] if gone else None


async def change_at(
    db: Database,
    tenant: str,
    driver: str,
    age_ms: Callable[[], int],
    change: Callable[[Timer, int], Timer | None],
) -> list[Timer]:
    """Change the timers of a driver by what happened in the past: ``change`` gets each, and when that was.

    ``age_ms``: how long ago it was; it is asked when Postgres' clock is. Raises Refused(unavailable).
    """
    return await _each(db, tenant, driver, None, None, change, age_ms)


async def page(
    db: Database,
    tenant: str,
    *,
    vendors: Collection[str] | None = None,
    driver: str | None = None,
    live: bool = True,
    after: TimerCursor | None = None,
    limit: int = LISTED,
) -> TimerPage:
    """A page of the tenant's timers, at most ``limit``, the newest first; the next one is ``after`` its last.

    ``vendors``: only of these, None for any. ``live``: only those that run. Raises Refused(unavailable).
    """
    given = (
        tenant,
        None if vendors is None else list(vendors),
        driver,
        [state.value for state in LIVE] if live else None,
        None if after is None else after.created_ms,
        None if after is None else after.timer_id,
    )
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(SQL["page"], *given, limit + 1)
    found = [timer_of(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return TimerPage(found, None)
    return TimerPage(found, TimerCursor(rows[limit - 1]["created_ms"], found[-1].timer_id))


async def live(db: Database, tenant: str, timer_id: UUID) -> Timer | None:
    """One timer of the tenant; None when there is no such one that runs. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(SQL["live"], tenant, timer_id)
    return None if row is None else timer_of(row)


async def dismiss(db: Database, tenant: str, by: Actor) -> list[Timer]:
    """The operator knows why so many are silent: what is held back begins anew.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        now_ms = await connection.fetchval(alert_rows.SQL["clock"])
        rows = await connection.fetch(SQL["lock_held"], tenant)
        begun = [timers.dismissed(timer_of(row), by, now_ms) for row in rows]
        await put(connection, begun)
    return begun


# --- on a connection


def timer_of(row: asyncpg.Record) -> Timer:
    """The timer of a row."""
    return _read(row["timer"])


async def put(connection: asyncpg.Connection, written: Sequence[Timer]) -> None:
    """Write timers, each at most once."""
    if not written:
        return
    made = [
        (
            timer.timer_id, timer.tenant, timer.vendor, timer.driver, timer.journey_id, timer.kind.value,
            timer.due_ms, timer.state.value, alert_rows.json(timer),
        )
        for timer in written
    ]  # fmt: skip
    await connection.execute(SQL["put"], *(list(column) for column in zip(*made, strict=True)))


Named = tuple[str, str, UUID]
"""Tenant, driver and a journey that is said to be theirs."""
Asked = tuple[str, str, UUID | None]
"""Tenant, driver and the journey asked for; None: the one that is active."""


async def journeys_of(connection: asyncpg.Connection, named: Sequence[Named]) -> dict[Named, bool]:
    """Of ``named`` those that are journeys of that tenant and driver; True: its driver has ended it."""
    if not named:
        return {}
    rows = await connection.fetch(SQL["journeys"], *(list(column) for column in zip(*named, strict=True)))
    return {named[row["place"] - 1]: row["has_ended"] for row in rows}


async def signs_of(connection: asyncpg.Connection, asked: Sequence[Asked]) -> list[Sign | None]:
    """The last that is known of each driver on an active journey; None where there is none."""
    found: list[Sign | None] = [None] * len(asked)
    if asked:
        rows = await connection.fetch(SQL["signs"], *(list(column) for column in zip(*asked, strict=True)))
        for row in rows:
            found[row["place"] - 1] = sign_from(row)
    return found


async def sign_of(
    connection: asyncpg.Connection, tenant: str, driver: str, journey_id: UUID | None
) -> Sign | None:
    """The same of one driver."""
    (sign,) = await signs_of(connection, [(tenant, driver, journey_id)])
    return sign


def sign_from(row: Mapping[str, Any] | asyncpg.Record) -> Sign:
    """Return the sign of life in a row of the statement ``signs``."""
    place = None
    if row["lat"] is not None:
        place = Place(row["lat"], row["lon"], row["accuracy_m"], row["t_ms"], row["battery_pct"])
    return Sign(UUID(str(row["journey_id"])), row["seq"] or 0, row["received_ms"], place)


async def _each(
    db: Database,
    tenant: str,
    driver: str,
    timer_id: UUID | None,
    journey_id: UUID | None,
    change: Callable[[Timer, int], Timer | None],
    age_ms: Callable[[], int] = lambda: 0,
) -> list[Timer]:
    async with db.writer() as connection:
        now_ms = await connection.fetchval(alert_rows.SQL["clock"])
        now_ms -= age_ms()
        rows = await connection.fetch(SQL["lock_of"], tenant, driver, timer_id, journey_id)
        changed = [after for row in rows if (after := change(timer_of(row), now_ms)) is not None]
        await put(connection, changed)
    return changed


# --- when ingest was open


async def beat(db: Database, process: str, gap_ms: int) -> None:
    """Note that ``process`` can take positions now. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(SQL["beat"], process, gap_ms)


async def uptime(connection: asyncpg.Connection, since_ms: int) -> list[tuple[int, int]]:
    """When each process could take positions, from ``since_ms`` on."""
    return [(row["from_ms"], row["until_ms"]) for row in await connection.fetch(SQL["uptime"], since_ms)]


async def forget_uptime(db: Database, older_than_ms: int) -> None:
    """Forget what is older. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(SQL["forget_uptime"], older_than_ms)
