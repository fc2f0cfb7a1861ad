"""What the journal's records say, and what follows from them. Pure."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from alerts.alert import Alert, Press
from alerts.attempt import Attempt, StatusReport
from alerts.case import Audit, Case
from alerts.policy import PolicyCopy


class JournalCase(Struct, frozen=True):
    """A case that a process keeps, with the presses that went into it and what happened to it here.

    ``acting``: this process escalates and delivers it; otherwise it is a copy.
    """

    case: Case
    presses: tuple[Press, ...]
    audit: tuple[Audit, ...]
    acting: bool
    changed_ms: int


class Whole(Struct, frozen=True, tag="whole"):
    """All of a case: it is new, or was merged."""

    kept: JournalCase


class Delta(Struct, frozen=True, tag="delta"):
    """What changed in a case. ``copy`` when that did."""

    alert: Alert
    copy: PolicyCopy | None
    attempts: tuple[Attempt, ...]
    presses: tuple[Press, ...]
    audit: tuple[Audit, ...]
    acting: bool
    changed_ms: int


class Gone(Struct, frozen=True, tag="gone"):
    """Postgres has the case."""

    alert_id: UUID


class EarlyReport(Struct, frozen=True, tag="early"):
    """A provider's word that nobody here knew; ``kept`` False: Postgres has it."""

    report: StatusReport
    kept: bool = True


Record = Whole | Delta | Gone | EarlyReport
_read: Final = msgspec.msgpack.Decoder(Record).decode
written: Final = msgspec.msgpack.Encoder().encode
"""The content of a record."""


def delta_of(before: JournalCase, after: JournalCase) -> Delta:
    """What leads from ``before`` to ``after``, which only adds presses and audit."""
    known = before.case.attempts
    return Delta(
        after.case.alert,
        None if after.case.copy == before.case.copy else after.case.copy,
        tuple(a for key, a in after.case.attempts.items() if known.get(key) != a),
        after.presses[len(before.presses) :],
        after.audit[len(before.audit) :],
        after.acting,
        after.changed_ms,
    )


def changed(before: JournalCase, delta: Delta) -> JournalCase:
    """``before`` with ``delta``."""
    attempts = before.case.attempts | {a.attempt_id: a for a in delta.attempts}
    return JournalCase(
        Case(delta.alert, before.case.copy if delta.copy is None else delta.copy, attempts),
        before.presses + delta.presses,
        before.audit + delta.audit,
        delta.acting,
        delta.changed_ms,
    )


def replayed(contents: Iterable[bytes]) -> tuple[dict[UUID, JournalCase], tuple[StatusReport, ...], int]:
    """What all records come to: the cases, the early reports, and how many records made no sense."""
    cases: dict[UUID, JournalCase] = {}
    early: dict[StatusReport, None] = {}
    unread = 0
    for content in contents:
        try:
            record = _read(content)
        except msgspec.MsgspecError:
            unread += 1
            continue
        match record:
            case Whole(kept):
                cases[kept.case.alert.alert_id] = kept
            case Delta() if record.alert.alert_id in cases:
                cases[record.alert.alert_id] = changed(cases[record.alert.alert_id], record)
            case Delta():
                unread += 1  # what it changes was in a record that cannot be read
            case Gone(alert_id):
                cases.pop(alert_id, None)
            case EarlyReport(report, True):
                early[report] = None
            case EarlyReport(report, False):
                early.pop(report, None)
    return cases, tuple(early), unread


def together(ours: tuple[Press, ...], theirs: Iterable[Press]) -> tuple[Press, ...]:
    """All presses, each once, ours first."""
    known = {press.sos_id for press in ours}
    return ours + tuple({p.sos_id: p for p in theirs if p.sos_id not in known}.values())


def history(ours: tuple[Audit, ...], theirs: Iterable[Audit]) -> tuple[Audit, ...]:
    """All lines, each once, ours first."""
    known = {msgspec.msgpack.encode(line) for line in ours}
    return ours + tuple(line for line in theirs if msgspec.msgpack.encode(line) not in known)
