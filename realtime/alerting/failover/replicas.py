"""The cases that other processes keep, as this one has seen them in Redis."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.alert import OPEN
from alerts.journal.encryption import Broken, seal, unseal
from alerts.journal.records import JournalCase
from realtime.alerting.replies.repository import last_asked
from realtime.store.people.replies import LastMessage

MAX_BYTES: Final = 256 * 1024
"""One copy at most; a larger one is not shown."""
MAX_PRESSES: Final = 50
MAX_AUDIT: Final = 200
"""What is shown of a case that was pressed a thousand times; all of it is in the journal of who took it."""
MAX_COPIES: Final = 5_000
"""Copies in Redis, and in memory; further ones are not shown."""
_read: Final = msgspec.msgpack.Decoder(JournalCase).decode


class Replica(Struct, frozen=True):
    """Another's copy: ``field`` is its name in Redis, ``version`` tells whether it has changed."""

    field: str
    version: bytes
    kept: JournalCase


def field_of(alert_id: UUID, process: str) -> str:
    """The name of a process's copy."""
    return f"{alert_id}:{process}"


def owner_of(field: str) -> str:
    """The process that shows it."""
    return field.partition(":")[2]


def sealed(key: bytes, field: str, kept: JournalCase, max_bytes: int = MAX_BYTES) -> bytes | None:
    """The copy as it is shown; None when it is larger than ``max_bytes``."""
    kept = replace(kept, presses=kept.presses[:MAX_PRESSES], audit=kept.audit[-MAX_AUDIT:])
    content = seal(key, f"copy/{field}", msgspec.msgpack.encode(kept))
    return content if len(content) <= max_bytes else None


def opened(key: bytes, field: str, version: bytes, content: bytes) -> Replica:
    """What `sealed` made. Raises ValueError for anything else."""
    try:
        return Replica(field, version, _read(unseal(key, f"copy/{field}", content)))
    except (Broken, msgspec.MsgspecError) as error:
        raise ValueError(f"no copy: {type(error).__name__}") from error


class ReplicaSet:
    """Copies by their field, and ways to find one."""

    def __init__(self) -> None:
        self._copies: dict[str, Replica] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._copies.values())

    def version_of(self, field: str) -> bytes | None:
        """Of what was seen."""
        copy = self._copies.get(field)
        return None if copy is None else copy.version

    def put(self, copy: Replica) -> None:
        """Have it in the place of an earlier one; beyond MAX_COPIES the oldest is forgotten."""
        self._copies.pop(copy.field, None)
        self._copies[copy.field] = copy
        if len(self._copies) > MAX_COPIES:
            del self._copies[next(iter(self._copies))]

    def keep_only(self, fields: set[str]) -> None:
        """The others were withdrawn."""
        self._copies = {field: copy for field, copy in self._copies.items() if field in fields}

    def drop(self, alert_id: UUID) -> None:
        """Postgres has the alert."""
        self._copies = {f: c for f, c in self._copies.items() if c.kept.case.alert.alert_id != alert_id}

    def of_alert(self, alert_id: UUID) -> list[Replica]:
        """All copies of a case."""
        return [copy for copy in self if copy.kept.case.alert.alert_id == alert_id]

    def copy_of(self, alert_id: UUID) -> JournalCase | None:
        """The copy that knows most."""
        return _best(copy.kept for copy in self.of_alert(alert_id))

    def find(self, tenant: str, driver: str, sos_id: UUID) -> JournalCase | None:
        """The case that a press went into."""
        return _best(
            kept
            for kept in self._of_driver(tenant, driver)
            if kept.case.alert.sos_id == sos_id or any(press.sos_id == sos_id for press in kept.presses)
        )

    def open_of(self, tenant: str, driver: str, drill: bool) -> JournalCase | None:
        """The driver's open case."""
        return _best(
            kept
            for kept in self._of_driver(tenant, driver)
            if kept.case.alert.state in OPEN and kept.case.alert.drill is drill
        )

    def of_provider(self, provider: str, provider_id: str) -> JournalCase | None:
        """The case of a message that a provider speaks of."""
        for copy in self:
            for attempt in copy.kept.case.attempts.values():
                if (attempt.provider, attempt.provider_id) == (provider, provider_id):
                    return copy.kept
        return None

    def last_asked(self, phone: str) -> list[LastMessage]:
        """The last message to a phone about each open alert."""
        return last_asked((copy.kept.case for copy in self), phone)

    def _of_driver(self, tenant: str, driver: str) -> Iterator[JournalCase]:
        for copy in self:
            alert = copy.kept.case.alert
            if (alert.tenant, alert.driver) == (tenant, driver):
                yield copy.kept


def _best(found: Iterator[JournalCase] | list[JournalCase]) -> JournalCase | None:
    return max(found, key=lambda kept: (kept.acting, kept.case.alert.version, kept.changed_ms), default=None)
