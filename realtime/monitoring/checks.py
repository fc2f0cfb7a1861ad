"""What is wrong with the alerts and those who work on them, in one look. Pure."""

from enum import StrEnum
from operator import itemgetter
from typing import Final

from msgspec import Struct

from alerts.alert import Alert, State
from realtime.store.alerts.health import WORKER, Beat, HealthSnapshot

UNREACHED_MS: Final = 60_000
HANGING_MS: Final = 45_000
"""A lease and a half: the process that died with it was replaced by another by then."""
UNREPORTED_MS: Final = 300_000
SILENT_MS: Final = 20_000
"""Several beats; see `realtime.monitoring.monitor.BEAT_S`."""
JOURNAL_MS: Final = 60_000
COPY_MS: Final = 120_000
"""Four readings of a local copy were missed; see `realtime.alerting.failover.contact_cache.READ_S`."""
IDS: Final = 20
"""Ids in one finding at most."""


class FindingKind(StrEnum):
    """What is wrong. docs/OPERATIONS.md says of each what to do."""

    UNREACHED = "unreached"
    """An alert is active, or its countdown is over, and no message has arrived anywhere in a minute."""
    EXHAUSTED = "exhausted"
    """An alert is active, and its policy has nobody left to try."""
    STUCK = "stuck"
    """A message or a step is due, or with a process that is gone, and nobody takes it."""
    UNREPORTED = "unreported"
    """A provider has a message and does not say whether it arrived."""
    WORKER_SILENT = "worker_silent"
    """A worker, or an instance with SOS on its disk, has not been heard, and was not told to stop."""
    JOURNAL = "journal"
    """SOS are on a process's disk although the database is there."""
    STORE_FAULTS = "store_faults"
    """Postgres answers and fails statements about alerts for a process."""
    STALE_COPY = "stale_copy"
    """A process has not read its local copy of contacts for long although the database is there."""
    MASS_SILENCE = "mass_silence"
    """Many drivers of a tenant are silent at once; their contacts are told unless it is dismissed in time."""


HARMLESS: Final = frozenset({FindingKind.UNREPORTED, FindingKind.MASS_SILENCE})
"""What does not keep the heartbeat back: some carriers report nothing, and a network may be out."""


class Finding(Struct, frozen=True):
    """Something wrong. ``ids``: alerts, tenants or names of processes; ``count`` may be more of them."""

    kind: FindingKind
    count: int
    ids: tuple[str, ...]
    since_ms: int


def findings(seen: HealthSnapshot) -> list[Finding]:
    """Everything that is wrong, one finding a kind, drills left out."""
    found: dict[FindingKind, list[tuple[str, int]]] = {kind: [] for kind in FindingKind}
    for alert in seen.alerts:
        for kind, since_ms in _of_alert(alert, seen.now_ms):
            found[kind].append((str(alert.alert_id), since_ms))
    found[FindingKind.STUCK] = [(str(hanging.alert_id), hanging.since_ms) for hanging in seen.hanging]
    found[FindingKind.UNREPORTED] = [
        (str(attempt.alert_id), attempt.sent_ms)
        for attempt in seen.sent
        if attempt.sent_ms and seen.now_ms - attempt.sent_ms > UNREPORTED_MS
    ]
    for beat in seen.beats:
        if seen.now_ms - beat.beat_ms > SILENT_MS and _is_missed(beat):
            found[FindingKind.WORKER_SILENT].append((beat.process, beat.beat_ms))
        if (unread_ms := copy_age_ms(beat, seen.now_ms)) is not None and unread_ms > COPY_MS:
            found[FindingKind.STALE_COPY].append((beat.process, seen.now_ms - unread_ms))
        oldest_ms = beat.detail.journal.oldest_ms
        if beat.detail.journal.waiting and oldest_ms and seen.now_ms - oldest_ms > JOURNAL_MS:
            found[FindingKind.JOURNAL].append((beat.process, oldest_ms))
        failed_ms = beat.detail.store_faults.last_ms
        if failed_ms is not None and seen.now_ms - beat.beat_ms <= SILENT_MS:
            found[FindingKind.STORE_FAULTS].append((beat.process, failed_ms))
    found[FindingKind.MASS_SILENCE] = [(silence.tenant, silence.since_ms) for silence in seen.silences]
    return [_finding(kind, subjects) for kind, subjects in found.items() if subjects]


def copy_age_ms(beat: Beat, now_ms: int) -> int | None:
    """For how long a process has not read its local copy; None when it is silent, or did not say."""
    since_beat_ms = now_ms - beat.beat_ms
    if beat.detail.copy_age_ms is None or since_beat_ms > SILENT_MS:
        return None
    return beat.detail.copy_age_ms + max(0, since_beat_ms)


def _is_missed(beat: Beat) -> bool:
    """Any instance does what another did, but for what it has on its disk."""
    return beat.role == WORKER or bool(beat.detail.journal.waiting)


def _of_alert(alert: Alert, now_ms: int) -> list[tuple[FindingKind, int]]:
    if alert.drill:
        return []
    if alert.state is State.PENDING:
        over_ms = alert.pending_until_ms
        is_late = over_ms is not None and now_ms - over_ms > UNREACHED_MS
        return [(FindingKind.UNREACHED, over_ms)] if over_ms is not None and is_late else []
    if alert.state is not State.ACTIVE:
        return []
    wrong = []
    since_ms = alert.active_since_ms or alert.raised_ms
    if alert.reached_ms is None and now_ms - since_ms > UNREACHED_MS:
        wrong.append((FindingKind.UNREACHED, since_ms))
    if alert.exhausted_ms is not None:
        wrong.append((FindingKind.EXHAUSTED, alert.exhausted_ms))
    return wrong


def _finding(kind: FindingKind, subjects: list[tuple[str, int]]) -> Finding:
    ids = dict.fromkeys(name for name, _ in sorted(subjects, key=itemgetter(1)))  # the oldest first
    return Finding(kind, len(ids), tuple(ids)[:IDS], min(since_ms for _, since_ms in subjects))
