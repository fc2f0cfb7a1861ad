"""Stores presses in groups: one transaction reads what all of a group need, and opens their alerts.

A press alone takes about 22 round trips to Postgres and 7 ms of CPU time; in a group of 25 it takes 1 ms.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from alerts.alert import Press
from alerts.policy import Circumstances, Contact
from alerts.ports import Taken
from realtime.store.alerts import transactions
from realtime.store.alerts.circumstances import (
    DEVICE_SEEN_MS,
    LastSeenPosition,
    known_from,
    query,
    seen_bounds,
    seen_from,
    settings_in,
)
from realtime.store.alerts.rows import SQL as ALERT_SQL
from realtime.store.db.queries import load

LOCK_TIMEOUT_S: Final = 0.3
"""How long a group waits for a lock, of a table under maintenance for example, before its presses are stored
alone; the time of `realtime.alerting.repository.ASK_S` is for both.
"""


SQL: Final = load("circumstances")


def _renumbered(sql: str, numbers: Mapping[int, int]) -> str:
    """Return ``sql`` with its parameters numbered as ``numbers`` says."""
    return re.sub(r"\$(\d+)", lambda found: f"${numbers[int(found[1])]}", sql)


READ: Final = SQL["for_presses"].format(
    contacts=query("contacts", "of_many"),
    policies=query("policies", "of_many"),
    # The first parameter of this statement is its fourth here; the others are not renumbered.
    devices=re.sub(r"now_ms\(\) - \$1\b", "now_ms() - $4", query("devices", "of_found_contacts")),
    seen=_renumbered(SQL["drivers_seen"], {1: 1, 2: 3, 3: 5, 4: 6, 5: 7, 6: 8, 7: 9}),
    locked=_renumbered(ALERT_SQL["lock_free_drivers"], {1: 1, 2: 3}),
)
"""The statement that reads what presses need, and locks their drivers."""

_rows: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode


class GroupedPress(NamedTuple):
    """A press with what Postgres knows of its driver.

    ``taken``: None = it is to be stored alone, because its driver has an open alert or is locked by another
    transaction, because it is not the first of its driver in the group, or because its place is to be found
    among positions of long ago.
    """

    press: Press
    circumstances: Circumstances
    taken: Taken | None


Complete = Callable[[Press, LastSeenPosition], Press]
"""Returns a press with the place and the journey that count, given where its driver was seen."""


async def store(
    connection: asyncpg.Connection,
    presses: Sequence[Press],
    operator_of: Callable[[str], Contact | None],
    complete: Complete,
) -> list[GroupedPress]:
    """Store ``presses``, which may be of any tenants; the result is in their order.

    It waits for no driver's lock, except when there is only one press: then that also joins its driver's open
    alert. Raises asyncpg.PostgresError; see `LOCK_TIMEOUT_S`.
    """
    tenants = [press.tenant for press in presses]
    vendors = [press.vendor for press in presses]
    drivers = [press.driver for press in presses]
    journeys = [press.journey_id for press in presses]
    bounds = seen_bounds(max(press.received_ms for press in presses))
    found = await connection.fetch(READ, tenants, vendors, drivers, DEVICE_SEEN_MS, journeys, *bounds)
    part = {row["part"]: [] if row["found"] is None else _rows(row["found"]) for row in found}
    known = known_from(part["contacts"], part["policies"], settings_in(part["seen"]), part["devices"])
    seen = seen_from(part["seen"])
    locked = {row["place"] for row in part["locked"]}
    operators = {tenant: operator_of(tenant) for tenant in set(tenants)}
    given = [
        (
            complete(press, one),
            known.of(press.tenant, press.vendor, press.driver, operators[press.tenant]),
        )
        for press, one in zip(presses, seen, strict=True)
    ]
    locked -= {
        place
        for place, ((press, _), one) in enumerate(zip(given, seen, strict=True), start=1)
        if press.place is None and one.has_more
    }
    taken = await transactions.open_locked(connection, given, locked)
    if len(given) == 1 and taken[0] is None and locked:
        taken = [await transactions.press(connection, *given[0])]
    return [GroupedPress(*one, result) for one, result in zip(given, taken, strict=True)]


async def warm_up(connection: asyncpg.Connection) -> None:
    """Run the statements of `store` for no press: the first ones of a connection take 30 ms longer, because
    Postgres reads its catalogue. Raises asyncpg.PostgresError.
    """
    none: list[Any] = []
    await connection.fetch(READ, none, none, none, DEVICE_SEEN_MS, none, *seen_bounds(0))
    for statement in ("situations", "insert_cases"):
        sql = ALERT_SQL[statement]
        count = max(int(number) for number in re.findall(r"\$(\d+)", sql))
        await connection.fetch(sql, *(none for _ in range(count)))
