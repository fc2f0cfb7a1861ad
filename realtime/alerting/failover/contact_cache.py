"""The local copy: contacts, policies and PINs of every driver, in each process, for when Postgres is
unavailable.

A scope (a driver, a vendor, a tenant) is re-read when a process announces that it was changed
(`realtime.alerting.scope_changes`), everything every 30 s. The copy is encrypted on disk, so that a process
which starts while Postgres is unavailable has it too. Without any there are still the operator of the tenant
and the built-in policy. What people say of their numbers meanwhile (STOP, START) is stored beside it until
Postgres has it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.phone import identity, spellings
from alerts.policy import Circumstances, Contact, Source
from realtime.aio import end
from realtime.alerting.failover.keys import Broken, seal, unseal, write_whole
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.store.alerts.circumstances import Known, all_circumstances, circumstances, scopes_circumstances
from realtime.store.db.changes import EVERYTHING, MAX_SCOPES, Pending, scope_of
from realtime.store.db.database import Database
from realtime.store.people import contacts

T = TypeVar("T")
log = logging.getLogger(__name__)

PURPOSE: Final = "directory"
READ_S: Final = 30.0
RETRY_S: Final = 2.0
WRITE_MS: Final = 600_000
"""The file is written when anything is new, and at least so often, so that it says how old it is."""
MAX_SAID: Final = 10_000
"""Numbers whose word is kept while Postgres is away; beyond it a further one is refused."""


GATHER_S: Final = 0.05
"""Changes that come together are read together."""
EVERYTHING_S: Final = 1.0
"""Between two readings of everything because of changes, or ten times as long as one takes: a burst beyond
`MAX_SCOPES` costs a tenth of the time at most.
"""
STORE_S: Final = 5.0
"""A changed scope is on the disk, or gone from there, after this at most, or ten writes' time."""


@dataclass(frozen=True, slots=True)
class CopyTimes:
    """How often a local copy is read and written."""

    read_s: float = READ_S
    """Everything, whether anything is known to have changed or not."""
    retry_s: float = RETRY_S
    """After Postgres failed a reading."""
    gather_s: float = GATHER_S
    """How long changed scopes are gathered before they are read."""
    everything_s: float = EVERYTHING_S
    """Between two readings of everything because of changes."""
    store_s: float = STORE_S
    """Between two writes of the file because of changes."""


COPY_TIMES: Final = CopyTimes()
"""Those of production."""


class OptOutChange(Struct, frozen=True):
    """The last word of a number. ``out``: it wants nothing more."""

    out: bool
    at_ms: int


class _Page(Struct, frozen=True):
    """The file: what was known ``read_ms``."""

    known: Known
    read_ms: int


class ContactCache:
    """`open` reads the file, `start` begins to refresh; ``of`` answers at once, whatever is away."""

    def __init__(
        self,
        db: Database,
        folder: Path,
        key: bytes,
        operator_of: Callable[[str], Contact | None],
        now_ms: Callable[[], int],
        *,
        times: CopyTimes = COPY_TIMES,
        max_scopes: int = MAX_SCOPES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db: Final = db
        self._file: Final = folder / "directory"
        self._said_file: Final = folder / "opted"
        self._key: Final = key
        self._operator_of: Final = operator_of
        self._now_ms: Final = now_ms
        self._known = Known({}, {}, {}, {})
        self._read_ms: int | None = None
        self._opened_ms: Final = now_ms()
        self._written: tuple[Known, int] | None = None
        self._said: dict[str, OptOutChange] = {}
        self._times: Final = times
        self._clock: Final = clock
        self._stale: Final = Pending(max_scopes)
        self._is_stale: Final = asyncio.Event()
        self._everything_due_s = float("-inf")
        self._stored_s = float("-inf")
        self._store_took_s = 0.0
        self._is_unstored = False
        self._reading: Final = asyncio.Lock()
        self._writing: Final = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Read what was kept. A file that cannot be read counts as none."""
        page = await self._load(self._file, _Page)
        if page is not None:
            self._known, self._read_ms = page.known, page.read_ms
            self._written = (page.known, page.read_ms)
        self._said = await self._load(self._said_file, dict[str, OptOutChange]) or {}
        self._tell_age()

    def start(self) -> None:
        """Begin to refresh."""
        self._tasks = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._follow())]

    async def stop(self) -> None:
        """Refresh no more."""
        await end(self._tasks)

    # --- what is known

    def of(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """The circumstances of a driver as they were last read, marked with the age of the copy."""
        found = self._known.of(tenant, vendor, driver, self._operator_of(tenant))
        age_ms = self.age_ms
        source = Source.NONE if age_ms is None else Source.LOCAL_COPY
        return self._heeding(replace(found, source=source, age_ms=age_ms))

    async def read(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """The circumstances of a driver as Postgres has them, less the numbers that said STOP here and are
        not handed over yet. Raises Refused(unavailable).
        """
        operator = self._operator_of(tenant)
        return self._heeding(await circumstances(self._db, tenant, vendor, driver, operator))

    def _heeding(self, found: Circumstances) -> Circumstances:
        out = {identity(phone) for phone, said in self._said.items() if said.out}
        if not out:
            return found
        return replace(found, contacts=tuple(_without(contact, out) for contact in found.contacts))

    def language_of(self, phone: str) -> str | None:
        """The language of a contact who has ``phone`` in any of its spellings; None: no contact has it."""
        forms = set(spellings(phone))
        for ranked in self._known.contacts.values():
            for one in ranked:
                if one.contact.phone in forms:
                    return one.contact.language
        return None

    @property
    def age_ms(self) -> int | None:
        """How old it is; None when nothing was ever read."""
        return None if self._read_ms is None else max(0, self._now_ms() - self._read_ms)

    @property
    def unread_ms(self) -> int:
        """For how long this process has not read it: since it began, if it never did."""
        return max(0, self._now_ms() - max(self._read_ms or 0, self._opened_ms))

    def count(self, tenant: str, driver: str) -> int:
        """How much of a driver is here."""
        scope = scope_of(tenant, None, driver)
        parts = (self._known.contacts, self._known.policies, self._known.safety)
        return sum(scope in part for part in parts)

    # --- refreshing

    async def refresh(self) -> None:
        """Read everything anew. Raises Refused(unavailable)."""
        async with self._reading:  # what was read later counts
            began_ms = self._now_ms()
            self._known = await all_circumstances(self._db)
            self._read_ms = began_ms
            self._tell_age()
            await self._write(began_ms)

    def changed(self, scopes: Collection[str]) -> None:
        """These scopes were changed in Postgres: re-read them soon. Many at once are everything."""
        self._stale.add(scopes)
        self._is_stale.set()

    async def reread(self) -> None:
        """Read what was changed, and store the copy when it is time. Raises Refused(unavailable); then what
        was changed is still to be read.
        """
        self._is_stale.clear()
        scopes = self._stale.take()
        try:
            if EVERYTHING in scopes or (scopes and self._read_ms is None):
                await asyncio.sleep(max(0.0, self._everything_due_s - self._clock()))
                self._stale.take()  # it is a part of everything
                began_s = self._clock()
                await self.refresh()
                took_s = self._clock() - began_s
                self._everything_due_s = self._clock() + max(self._times.everything_s, 10 * took_s)
                instruments.DIRECTORY_READS.labels("everything").inc()
            elif scopes:
                await self._read_scopes(scopes)
                instruments.DIRECTORY_READS.labels("scopes").inc()
        except BaseException:
            self._stale.add(scopes)
            raise
        if self._is_unstored and self._store_due_s <= 0 and self._read_ms is not None:
            await self._write(self._read_ms)

    async def _read_scopes(self, scopes: Collection[str]) -> None:
        async with self._reading:
            read = await scopes_circumstances(self._db, scopes)
            self._known = self._known.with_scopes(read, scopes)
            self._is_unstored = True

    @property
    def _store_due_s(self) -> float:
        """In how many seconds a change may be written to the disk."""
        return self._stored_s + max(self._times.store_s, 10 * self._store_took_s) - self._clock()

    async def _follow(self) -> None:
        """Re-read what is changed, as long as the process lives."""
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._store_due_s) if self._is_unstored else None):
                    await self._is_stale.wait()
                    await asyncio.sleep(self._times.gather_s)
            except TimeoutError:
                pass  # it is time to store what was re-read
            try:
                await self.reread()
                continue
            except Refused:
                log.debug("changed contacts are not read: postgres is unavailable")
            except Exception as error:  # its own text may quote a row
                log.error("changed contacts cannot be read: %s", type(error).__name__)
            instruments.DIRECTORY_READS.labels("failed").inc()
            await asyncio.sleep(self._times.retry_s)
            self._is_stale.set()

    async def _run(self) -> None:
        while True:
            pause_s = self._times.read_s
            try:
                await self.refresh()
            except Refused:
                pause_s = self._times.retry_s
            except Exception as error:  # its own text may quote a row
                log.error("the directory is not refreshed: %s", type(error).__name__)
            self._tell_age()
            await asyncio.sleep(pause_s)

    async def _write(self, read_ms: int) -> None:
        if self._written is not None:
            known, written_ms = self._written
            if known == self._known and 0 <= read_ms - written_ms < WRITE_MS:
                return
        known = self._known
        began_s = self._clock()
        self._is_unstored = False
        async with self._writing:
            try:
                await asyncio.to_thread(self._store, self._file, _Page(known, read_ms))
            except OSError as error:  # what is in memory still serves
                log.error("the directory cannot be written: %s", type(error).__name__)
                return
            finally:
                self._stored_s = self._clock()
                self._store_took_s = self._stored_s - began_s
        self._written = (known, read_ms)

    def _tell_age(self) -> None:
        if (age_ms := self.age_ms) is not None:
            instruments.DIRECTORY_AGE.set(age_ms / 1000)

    # --- what numbers said meanwhile

    async def say(self, phone: str, *, out: bool) -> None:
        """Keep the word of a number until Postgres has it. Raises OSError when it cannot be kept."""
        phone = identity(phone)
        if phone not in self._said and len(self._said) >= MAX_SAID:
            raise OSError("too many numbers wait for postgres")
        async with self._writing:
            said = {**self._said, phone: OptOutChange(out, self._now_ms())}
            await asyncio.to_thread(self._store, self._said_file, said)
            self._said = said

    @property
    def unsaid(self) -> int:
        """How many words Postgres does not have yet."""
        return len(self._said)

    async def hand_over(self) -> None:
        """Give Postgres what numbers said meanwhile.

        Raises Refused(unavailable), OSError; what Postgres answered last when it rejects some, after all
        others were given.
        """
        waiting: dict[str, OptOutChange] = {}
        rejected: Exception | None = None
        for phone, said in dict(self._said).items():
            try:
                await (contacts.opt_out if said.out else contacts.opt_in)(self._db, phone)
            except asyncpg.PostgresError as error:
                rejected = error
            else:
                waiting[phone] = said
        if waiting:
            await self._forget_said(waiting)
        if rejected is not None:
            raise rejected

    async def _forget_said(self, waiting: dict[str, OptOutChange]) -> None:
        await self.refresh()  # before they are forgotten here: nobody is told who has just said STOP
        async with self._writing:
            rest = {phone: said for phone, said in self._said.items() if waiting.get(phone) != said}
            await asyncio.to_thread(self._store, self._said_file, rest)
            self._said = rest

    # --- the files

    async def _load(self, file: Path, kind: type[T]) -> T | None:
        try:
            sealed = await asyncio.to_thread(file.read_bytes)
            return msgspec.msgpack.decode(unseal(self._key, file.name, sealed), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, Broken, msgspec.MsgspecError) as error:
            log.error("a local copy cannot be read and is passed over: %s", type(error).__name__)
            return None

    def _store(self, file: Path, content: object) -> None:
        write_whole(file, seal(self._key, file.name, msgspec.msgpack.encode(content)))


def _without(contact: Contact, phones: AbstractSet[str]) -> Contact:
    return replace(contact, phone=None) if contact.phone and identity(contact.phone) in phones else contact
