"""Revoked tokens by tenant and ``jti``: written, asked for, and polled by what is new.

A revocation is kept for ever, unless its expiry was read from the token itself, whose signature was verified.
Such a one is kept for 31 days after that expiry, since until day 30 an expired driver token still raises an
SOS; then upkeep forgets it. An expiry that a caller claims decides nothing.
"""

import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import asyncpg

from realtime.protocol import Code, Refused
from realtime.store.db import changes
from realtime.store.db.database import Database
from realtime.store.db.queries import load

PAGE: Final = 5_000
"""Revocations that one statement of a poll reads at most; a poll reads as many pages as there are."""
FULL_READ_S: Final = 3_600.0
"""Between two full reads: what upkeep has forgotten leaves the memory of a process by them."""
FOR_EVER_MS: Final = 253_402_300_799_999
"""The year 9999: when a revocation expires whose token was not shown."""

_SQL = load("revocations")


async def revoke(db: Database, tenant: str, jti: str, verified_expiry_ms: int | None = None) -> None:
    """Revoke ``tenant``'s token ``jti``.

    ``verified_expiry_ms``: when the token expires, as read from the token after its signature was verified;
    None when the token was not shown, and the revocation is kept for ever. One that is so kept stays so.
    Raises Refused: invalid, unavailable.
    """
    if "\0" in jti:
        raise Refused(Code.INVALID, "jti contains a nul")
    expires_ms = FOR_EVER_MS if verified_expiry_ms is None else verified_expiry_ms
    async with db.writer() as connection:
        await connection.execute(_SQL["revoke"], tenant, jti, expires_ms, verified_expiry_ms is not None)
    db.changes.note(await _scopes_of(db, tenant, jti))


async def _scopes_of(db: Database, tenant: str, jti: str) -> Collection[str]:
    """The scopes of the devices that are sent no push any more. What cannot be read is everything: the
    revocation itself is committed.
    """
    try:
        async with db.reader(tenant) as connection:
            devices = await connection.fetch(_SQL["devices_of"], tenant, jti)
            return await changes.of_devices(connection, devices)
    except Exception:
        return (changes.EVERYTHING,)


async def is_revoked(db: Database, tenant: str, jti: str) -> bool:
    """Whether ``tenant``'s token ``jti`` is revoked. Raises Refused(unavailable)."""
    if "\0" in jti:
        return False
    async with db.reader(tenant) as connection:
        found: bool = await connection.fetchval(_SQL["is_revoked"], tenant, jti)
    return found


class _Mark(NamedTuple):
    """From where on the next poll reads: every transaction below ``horizon`` had ended on this timeline."""

    horizon: int
    timeline: str


class RevokedTokens:
    """The revocations of all tenants in the memory of one process. Not bound to any event loop.

    The first `poll` reads all of them, the others what is new, by this rule. Every row names the transaction
    that wrote it. A poll first asks for the horizon, the oldest transaction that has not ended, and only then
    reads the rows from the horizon of the poll before. A transaction below the horizon has ended: what it
    committed is read by this poll at the latest. All others have a number from the horizon on and are read by
    the next poll, whenever they commit. So a slow transaction with a low number is not passed over, as it
    would be by a sequence. A row that is read twice changes nothing.

    All are read again when the timeline has changed or the horizon has fallen (a standby has taken over, or a
    backup was restored: numbers may repeat), after a poll that failed, and every ``full_read_s`` seconds.
    ``page_size``: revocations in one statement.
    """

    def __init__(
        self,
        page_size: int = PAGE,
        full_read_s: float = FULL_READ_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._page_size: Final = page_size
        self._full_read_s: Final = full_read_s
        self._monotonic_s: Final = monotonic_s
        self._known: set[tuple[str, str]] = set()
        self._mark: _Mark | None = None
        self._full_at_s = float("-inf")

    def __contains__(self, token: tuple[str, str]) -> bool:
        """Whether (tenant, ``jti``) was revoked, as of the last poll."""
        return token in self._known

    def __len__(self) -> int:
        return len(self._known)

    async def poll(self, db: Database) -> int:
        """Read what is new; how many rows were read.

        Raises Refused(unavailable): what was known stays known.
        """
        before, self._mark = self._mark, None
        async with db.writer() as connection:  # across tenants
            row = await connection.fetchrow(_SQL["horizon"])
            mark = _Mark(row["horizon"], row["timeline"])
            if before is None or self._must_read_all(before, mark):
                read = await self._read_all(connection)
            else:
                read = await self._read_changed(connection, before)
        self._mark = mark
        return read

    def _must_read_all(self, before: _Mark, mark: _Mark) -> bool:
        if mark.timeline != before.timeline or mark.horizon < before.horizon:
            return True
        return self._monotonic_s() - self._full_at_s >= self._full_read_s

    async def _read_all(self, connection: asyncpg.Connection) -> int:
        begun_s, last = self._monotonic_s(), ("", "")
        found: set[tuple[str, str]] = set()
        while True:
            rows = await connection.fetch(_SQL["every"], *last, self._page_size)
            found.update((row["tenant_id"], row["jti"]) for row in rows)
            if len(rows) < self._page_size:
                break
            last = (rows[-1]["tenant_id"], rows[-1]["jti"])
        self._known, self._full_at_s = found, begun_s
        return len(found)

    async def _read_changed(self, connection: asyncpg.Connection, before: _Mark) -> int:
        read, last = 0, (before.horizon, "", "")
        while True:
            rows = await connection.fetch(_SQL["changed"], *last, self._page_size)
            self._known.update((row["tenant_id"], row["jti"]) for row in rows)
            read += len(rows)
            if len(rows) < self._page_size:
                return read
            last = (rows[-1]["changed_by"], rows[-1]["tenant_id"], rows[-1]["jti"])
