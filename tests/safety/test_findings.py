"""What counts as wrong, in one look."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Alert, State
from alerts.attempt import Channel, Status
from realtime.cli.findings import copies_of
from realtime.monitoring.checks import (
    COPY_MS,
    IDS,
    JOURNAL_MS,
    SILENT_MS,
    UNREACHED_MS,
    UNREPORTED_MS,
    Finding,
    FindingKind,
    copy_age_ms,
    findings,
)
from realtime.store.alerts.health import (
    Beat,
    BeatDetail,
    Hanging,
    HealthSnapshot,
    JournalBeat,
    StoreFaultBeat,
)
from tests.alerts.delivery.fakes import an_alert, an_attempt

NOW_MS = 10_000_000


def raised(ago_ms: int, **changes: Any) -> Alert:
    since_ms = NOW_MS - ago_ms
    return replace(an_alert(), raised_ms=since_ms, active_since_ms=since_ms, **changes)


def seen(**parts: Any) -> HealthSnapshot:
    return HealthSnapshot(NOW_MS, **parts)


def test_nothing_is_wrong_with_nothing() -> None:
    assert findings(seen()) == []


def test_an_alert_that_has_reached_nobody_in_a_minute_is_found_with_its_id_and_since_when() -> None:
    late, fresh = raised(UNREACHED_MS + 1), raised(UNREACHED_MS)
    assert findings(seen(alerts=(fresh, late))) == [
        Finding(FindingKind.UNREACHED, 1, (str(late.alert_id),), late.raised_ms)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"reached_ms": NOW_MS - 1},
        {"state": State.ACKNOWLEDGED},
        {"state": State.PENDING, "pending_until_ms": NOW_MS - UNREACHED_MS},
        {"drill": True},
        {"drill": True, "state": State.PENDING, "pending_until_ms": NOW_MS - UNREACHED_MS - 1},
    ],
)
def test_an_alert_that_needs_nobody_now_is_not(changes: dict[str, Any]) -> None:
    assert findings(seen(alerts=(raised(UNREACHED_MS * 2, **changes),))) == []


def test_an_alert_whose_countdown_was_over_a_minute_ago_has_reached_nobody() -> None:
    over_ms = NOW_MS - UNREACHED_MS - 1
    late = raised(UNREACHED_MS * 2, state=State.PENDING, pending_until_ms=over_ms)
    assert findings(seen(alerts=(late,))) == [
        Finding(FindingKind.UNREACHED, 1, (str(late.alert_id),), over_ms)
    ]


def test_the_minute_begins_anew_when_an_alert_becomes_active_again() -> None:
    again = replace(raised(UNREACHED_MS * 9), active_since_ms=NOW_MS - 1)
    assert findings(seen(alerts=(again,))) == []


def test_an_exhausted_alert_is_found_until_somebody_answers() -> None:
    exhausted = raised(5_000, reached_ms=NOW_MS, exhausted_ms=NOW_MS - 10, exhausted_reason="all_failed")
    (finding,) = findings(seen(alerts=(exhausted,)))
    assert (finding.kind, finding.since_ms) == (FindingKind.EXHAUSTED, NOW_MS - 10)
    assert findings(seen(alerts=(replace(exhausted, state=State.ACKNOWLEDGED),))) == []


def test_several_stuck_messages_of_one_alert_are_one_alert() -> None:
    alert_id = uuid4()
    hanging = (Hanging(alert_id, 5), Hanging(alert_id, 3))
    assert findings(seen(hanging=hanging)) == [Finding(FindingKind.STUCK, 1, (str(alert_id),), 3)]


def test_a_message_that_its_provider_says_nothing_of_is_found() -> None:
    alert = raised(5_000, reached_ms=NOW_MS)
    silent_ms = NOW_MS - UNREPORTED_MS - 1
    sent = replace(an_attempt(Channel.SMS, alert), status=Status.SENT, sent_ms=silent_ms)
    (finding,) = findings(seen(alerts=(alert,), sent=(sent, replace(sent, sent_ms=silent_ms + 1))))
    assert finding == Finding(FindingKind.UNREPORTED, 1, (str(alert.alert_id),), silent_ms)


def test_a_process_that_is_silent_is_found_by_its_name() -> None:
    beats = (Beat("worker1", "worker", NOW_MS - SILENT_MS - 1), Beat("worker2", "worker", NOW_MS - SILENT_MS))
    (finding,) = findings(seen(beats=beats))
    assert (finding.kind, finding.ids) == (FindingKind.WORKER_SILENT, ("worker1",))


def test_an_instance_that_is_silent_is_missed_for_what_it_has_on_its_disk_alone() -> None:
    silent_ms = NOW_MS - SILENT_MS - 1
    kept = BeatDetail(JournalBeat(1, NOW_MS))
    beats = Beat("web-w1", "web", silent_ms), Beat("web-w2", "web", silent_ms, kept)
    (finding,) = findings(seen(beats=beats))
    assert (finding.kind, finding.ids) == (FindingKind.WORKER_SILENT, ("web-w2",))


def test_sos_left_on_a_disk_are_found_once_they_are_old() -> None:
    def beat(name: str, age_ms: int, waiting: int = 1) -> Beat:
        return Beat(name, "web", NOW_MS, BeatDetail(JournalBeat(waiting, NOW_MS - age_ms)))

    beats = beat("w1", JOURNAL_MS + 1), beat("w2", JOURNAL_MS), beat("w3", JOURNAL_MS + 1, waiting=0)
    (finding,) = findings(seen(beats=beats))
    assert (finding.kind, finding.ids) == (FindingKind.JOURNAL, ("w1",))


def test_a_living_process_whose_statements_fail_is_named() -> None:
    def beat(name: str, beat_ms: int, failed_ms: int | None) -> Beat:
        return Beat(name, "web", beat_ms, BeatDetail(store_faults=StoreFaultBeat(3, failed_ms)))

    silent_ms = NOW_MS - SILENT_MS - 1
    beats = beat("w1", NOW_MS, NOW_MS - 9), beat("w2", NOW_MS, None), beat("w3", silent_ms, silent_ms)
    (finding,) = findings(seen(beats=beats))
    assert (finding.kind, finding.ids, finding.since_ms) == (FindingKind.STORE_FAULTS, ("w1",), NOW_MS - 9)


def test_many_are_counted_and_the_oldest_are_named() -> None:
    alerts = tuple(raised(UNREACHED_MS + 1 + n) for n in range(IDS * 2))
    (finding,) = findings(seen(alerts=alerts))
    assert finding.count == IDS * 2
    assert [UUID(name) for name in finding.ids] == [a.alert_id for a in reversed(alerts[IDS:])]


@pytest.mark.parametrize(
    ("age_ms", "beat_ago_ms", "is_found"),
    [(COPY_MS, 0, False), (COPY_MS + 1, 0, True), (COPY_MS - 1_000, 2_000, True), (None, 0, False)],
)
def test_a_local_copy_that_was_not_read_for_long_is_found_by_its_process(
    age_ms: int | None, beat_ago_ms: int, is_found: bool
) -> None:
    beat = Beat("web-w1", "web", NOW_MS - beat_ago_ms, BeatDetail(copy_age_ms=age_ms))
    found = [(one.kind, one.ids) for one in findings(seen(beats=(beat,)))]
    assert found == ([(FindingKind.STALE_COPY, ("web-w1",))] if is_found else [])


def test_of_a_process_that_is_silent_no_copy_is_stale() -> None:
    beat = Beat("worker1", "worker", NOW_MS - SILENT_MS - 1, BeatDetail(copy_age_ms=COPY_MS))
    assert [one.kind for one in findings(seen(beats=(beat,)))] == [FindingKind.WORKER_SILENT]
    assert copy_age_ms(beat, NOW_MS) is None


def test_doctor_says_how_old_the_oldest_local_copy_is_and_when_that_is_a_fault() -> None:
    def beat(name: str, age_ms: int) -> Beat:
        return Beat(name, "web", NOW_MS, BeatDetail(copy_age_ms=age_ms))

    found = copies_of(NOW_MS, [beat("w1", 3_000), beat("w2", 12_000)])
    assert (found.text, found.is_fault) == ("2, the oldest of w2: not read for 12 s", False)
    assert copies_of(NOW_MS, [beat("w1", COPY_MS + 1)]).is_fault
    assert not copies_of(NOW_MS, []).is_fault
