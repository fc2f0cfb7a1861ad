"""Whether the database has the schema that this release needs, and a gate that stays shut until it has.

A process that starts on another schema would fail statement by statement, or write rows that the next release
reads wrongly. `SchemaGate` therefore lets no transaction begin before the record of migrations was read and
fits: to the rest of the process Postgres is unavailable, so an SOS goes to the journal. Once it fits the gate
stays open, as migrations are additive and an older process may finish beside a newer one.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg

from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.store.db.migration import Migration, migrations
from realtime.store.db.pools import transaction
from realtime.store.db.queries import load

POLL_S: Final = 2.0
"""Between two reads of the record while it does not fit."""

_UNREADABLE: Final = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.InternalServerError,  # a damaged page
    asyncpg.PostgresSystemError,
)
_SQL: Final = load("migrate")
_log = logging.getLogger(__name__)


class SchemaCode(StrEnum):
    """What was found. All but ``OK`` keep the gate shut."""

    OK = "schema_ok"
    EMPTY = "schema_empty"
    UNRECORDED = "schema_unrecorded"
    """The tables are there and the record of migrations is not, or has no rows."""
    OLDER = "schema_older"
    NEWER = "schema_newer"
    CHANGED = "schema_changed"
    """A migration ran from a file with another content."""
    UNREADABLE = "schema_unreadable"
    """The login may not read the record, or the record is damaged."""


_ADVICE: Final[Mapping[SchemaCode, str]] = {
    SchemaCode.OK: "",
    SchemaCode.EMPTY: "run wayguard migrate",
    SchemaCode.UNRECORDED: "restore the table schema_migrations from a backup; wayguard migrate cannot",
    SchemaCode.OLDER: "run wayguard migrate",
    SchemaCode.NEWER: "start the release that has this migration, or restore a backup of before it",
    SchemaCode.CHANGED: "start the release that ran this migration",
    SchemaCode.UNREADABLE: "run wayguard migrate as the owner of the tables",
}


@dataclass(frozen=True, slots=True)
class SchemaFinding:
    """The migrations that a database has beside those that this release needs.

    ``has``: the highest number recorded, 0 when there is none, None when it cannot be read. ``needs``: the
    highest number of this release. ``detail`` names a migration or an error, or is empty.
    """

    code: SchemaCode
    has: int | None
    needs: int
    detail: str = ""

    @property
    def fits(self) -> bool:
        """Whether this release can work on it."""
        return self.code is SchemaCode.OK

    @property
    def advice(self) -> str:
        """What the operator has to do; empty when it fits."""
        return _ADVICE[self.code]

    def __str__(self) -> str:
        has = "cannot be read" if self.has is None else f"has migration {self.has}"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.code}: the database {has}, this release needs {self.needs}{detail}"


def judge(
    known: Sequence[Migration], recorded: Mapping[int, tuple[str, str]], *, has_tables: bool = False
) -> SchemaFinding:
    """Compare this release's migrations with ``recorded``: number -> (name, checksum) of what ran.

    ``has_tables``: whether the database has tables that migrations make.
    """
    needs = known[-1].number if known else 0
    has = max(recorded, default=0)
    by_number = {migration.number: migration for migration in known}
    if not recorded and known:
        return SchemaFinding(SchemaCode.UNRECORDED if has_tables else SchemaCode.EMPTY, has, needs)
    for number, (name, checksum) in sorted(recorded.items()):
        if number not in by_number:
            return SchemaFinding(SchemaCode.NEWER, has, needs, name)
        if by_number[number].checksum != checksum:
            return SchemaFinding(SchemaCode.CHANGED, has, needs, name)
    missing = [migration for migration in known if migration.number not in recorded]
    if missing:
        return SchemaFinding(SchemaCode.OLDER, has, needs, f"{len(missing)} pending, first {missing[0].name}")
    return SchemaFinding(SchemaCode.OK, has, needs)


async def read(connection: asyncpg.Connection, known: Sequence[Migration]) -> SchemaFinding:
    """Read the record with ``connection`` and judge it. A transaction around it may be failed afterwards.

    Raises OSError or asyncpg.PostgresError when the database cannot be asked.
    """
    rows: list[asyncpg.Record] = []
    try:
        (present,) = await connection.fetch(_SQL["present"])
        if present["has_record"]:
            rows = await connection.fetch(_SQL["recorded"])
    except _UNREADABLE as error:
        return SchemaFinding(SchemaCode.UNREADABLE, None, known[-1].number, type(error).__name__)
    recorded = {row["number"]: (row["name"], row["sha256"]) for row in rows}
    return judge(known, recorded, has_tables=present["has_tables"])


class SchemaMismatch(Exception):
    """The database has another schema; the message is the finding's."""


class SchemaGate:
    """Shut until the schema of ``pool``'s database fits this release, then open for good.

    ``timeout_s``: one read at most. ``poll_s``: from one read to the next while it is shut.
    """

    def __init__(self, pool: asyncpg.Pool, timeout_s: float, *, poll_s: float = POLL_S) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._poll_s = poll_s
        self._known = migrations()
        self._reading: asyncio.Task[SchemaFinding] | None = None
        self._polling: asyncio.Task[None] | None = None
        self.finding: SchemaFinding | None = None
        """What was read last; None until the database has answered once."""
        self.is_open = False

    def start(self) -> None:
        """Begin to poll."""
        self._polling = asyncio.create_task(self._poll(), name="schema-poll")

    async def stop(self) -> None:
        """Stop polling. Is idempotent."""
        tasks = [task for task in (self._polling, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def enter(self) -> None:
        """Return when it is open. The first caller reads the record; later ones hear what the poll found.

        Raises Refused(unavailable), caused by SchemaMismatch when the schema does not fit.
        """
        if self.is_open:
            return
        finding = self.finding or await self._read()
        if not finding.fits:
            mismatch = SchemaMismatch(str(finding))
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=1) from mismatch

    async def _read(self) -> SchemaFinding:
        """The finding now; callers at the same time share one read. Raises Refused(unavailable)."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_once(), name="schema-read")
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._reading)

    async def _read_once(self) -> SchemaFinding:
        try:
            async with transaction(
                self._pool, "BEGIN READ ONLY", timeout_s=self._timeout_s, readonly=True
            ) as connection:
                finding = await read(connection, self._known)
        except asyncpg.PostgresError as error:
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=1) from error
        self._note(finding)
        return finding

    def _note(self, finding: SchemaFinding) -> None:
        if finding != self.finding and not (finding.fits and self.finding is None):
            level = logging.INFO if finding.fits else logging.ERROR
            _log.log(level, "%s%s", finding, f": {finding.advice}" if finding.advice else "")
        self.finding = finding
        self.is_open = self.is_open or finding.fits

    async def _poll(self) -> None:
        """Read until it is open. Each error but Refused is logged by its class, once until another occurs."""
        logged: type[Exception] | None = None
        while not self.is_open:
            try:
                await self._read()
                logged = None
            except Refused:
                pass
            except Exception as error:  # the gate is shut for good once this task has ended
                if type(error) is not logged:
                    logged = type(error)
                    _log.error("schema read failed: %s", logged.__name__)
            await asyncio.sleep(self._poll_s)
