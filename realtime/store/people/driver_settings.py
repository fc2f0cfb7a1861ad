"""What a driver sets for themselves: name, language of the messages, a number to call, the PINs' hashes."""

from typing import Final, NamedTuple

from alerts.policy import Pins
from realtime.protocol import Code, Refused
from realtime.store.alerts.circumstances import Safety
from realtime.store.db.changes import scope_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.people import tenants
from realtime.store.people.tenants import Author

MAX_WRONG: Final = 5
WINDOW_MS: Final = 3_600_000

_SQL = load("safety_settings")


async def get(db: Database, tenant: str, driver: str) -> Safety:
    """What ``driver`` has set; the defaults when nothing. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, driver)
    if row is None:
        return Safety()
    return Safety(row["name"], row["language"], Pins(row["cancel_pin"], row["duress_pin"]))


class Profile(NamedTuple):
    """What the driver is called; ``phone``, in E.164, is for holders of a link that answers."""

    name: str = ""
    phone: str | None = None


async def profile(db: Database, tenant: str, driver: str) -> Profile:
    """The driver's profile; empty when there is none. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["profile"], tenant, driver)
    return Profile() if row is None else Profile(row["name"], row["phone"])


async def set_profile(
    db: Database, tenant: str, driver: str, given: Profile, by: Author | None = None
) -> None:
    """Set name and number; the driver must be known. What changes is audited as done ``by`` them.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        name, phone = await tenants.described(connection, tenant, driver)
        await connection.execute(_SQL["set_profile"], tenant, driver, given.name, given.phone)
        if by is not None:
            changes = [("name", name, given.name or None), ("phone", phone, given.phone)]
            await tenants.note_changes(connection, tenant, driver, by, changes)
    db.changes.note([scope_of(tenant, None, driver)])


async def describe(
    db: Database, tenant: str, driver: str, name: str, language: str, by: Author | None = None
) -> None:
    """Set name and language; the driver must be known. A new name is audited as given ``by`` them.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        before, _ = await tenants.described(connection, tenant, driver)
        await connection.execute(_SQL["describe"], tenant, driver, name, language)
        if by is not None:
            await tenants.note_changes(connection, tenant, driver, by, [("name", before, name or None)])
    db.changes.note([scope_of(tenant, None, driver)])


async def set_pins(
    db: Database, tenant: str, driver: str, pins: Pins, *, tries_returned: int = MAX_WRONG
) -> None:
    """Set both PINs' hashes; the driver must be known.

    ``tries_returned``: how many tries, counted by `take_try`, were not wrong; by default all are forgotten.
    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["set_pins"], tenant, driver, pins.cancel, pins.duress, tries_returned)
    db.changes.note([scope_of(tenant, None, driver)])


async def take_try(db: Database, tenant: str, driver: str) -> None:
    """Count a try at the PIN that is in force, before it is compared; the driver must be known.

    Raises Refused: rate_limited after five in an hour, unavailable.
    """
    async with db.writer() as connection:
        taken = await connection.fetchval(_SQL["take_try"], tenant, driver, WINDOW_MS, MAX_WRONG)
    if taken is None:
        raise Refused(Code.RATE_LIMITED, "too many wrong pins", retry_after_s=WINDOW_MS / 1000)
