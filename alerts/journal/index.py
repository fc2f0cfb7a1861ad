"""The cases of a journal in memory, as they are planned and as the disk has them, and ways to find one."""

from collections.abc import Iterator
from uuid import UUID

from alerts.alert import OPEN, alert_id_of
from alerts.attempt import Channel, Status
from alerts.case import Case
from alerts.clock_skew import TOLERATED_MS, latest_ms
from alerts.journal.records import JournalCase

_WAITING = frozenset({Status.DUE, Status.UNSURE})


class CaseIndex:
    """What is planned is decided upon; what is seen is shown."""

    def __init__(self) -> None:
        self._planned: dict[UUID, JournalCase] = {}
        self._seen: dict[UUID, JournalCase] = {}
        self._next_ms: dict[UUID, int | None] = {}
        self._home: dict[UUID, UUID] = {}
        """Of the id that a press would have made alone, the alert that it went into."""
        self._of_driver: dict[tuple[str, str], set[UUID]] = {}

    # --- changing

    def put(self, kept: JournalCase, next_ms: int | None = 0) -> None:
        """Plan it; it is to be looked at ``next_ms``."""
        alert = kept.case.alert
        self._planned[alert.alert_id] = kept
        self._next_ms[alert.alert_id] = next_ms
        self._of_driver.setdefault((alert.tenant, alert.driver), set()).add(alert.alert_id)
        self._home[alert.alert_id] = alert.alert_id
        for press in kept.presses:
            self._home.setdefault(alert_id_of(press.tenant, press.driver, press.sos_id), alert.alert_id)

    def see(self, kept: JournalCase) -> None:
        """It is on the disk."""
        self._seen[kept.case.alert.alert_id] = kept

    def give_up(self) -> None:
        """What is planned and not on the disk will never be."""
        seen, self._seen = self._seen, {}
        self._planned, self._next_ms, self._home, self._of_driver = {}, {}, {}, {}
        for kept in seen.values():
            self.put(kept)
        self._seen = seen

    def drop(self, alert_id: UUID) -> None:
        """It is not here any more."""
        self._seen.pop(alert_id, None)
        self._next_ms.pop(alert_id, None)
        kept = self._planned.pop(alert_id, None)
        if kept is None:
            return
        self._home = {own: home for own, home in self._home.items() if home != alert_id}
        owner = (kept.case.alert.tenant, kept.case.alert.driver)
        self._of_driver[owner].discard(alert_id)
        if not self._of_driver[owner]:
            del self._of_driver[owner]

    def note_next(self, alert_id: UUID, next_ms: int | None) -> None:
        """When it is to be looked at again."""
        self._next_ms[alert_id] = next_ms

    # --- finding

    def planned(self, alert_id: UUID) -> JournalCase | None:
        """By its id, or the id that a press promised."""
        return self._planned.get(self._home.get(alert_id, alert_id))

    def seen(self, alert_id: UUID) -> JournalCase | None:
        """By its own id."""
        return self._seen.get(alert_id)

    def all_seen(self) -> list[JournalCase]:
        """Everything."""
        return list(self._seen.values())

    def next_of(self, alert_id: UUID) -> int | None:
        """When it is to be looked at."""
        return self._next_ms.get(alert_id)

    def of_press(self, tenant: str, driver: str, sos_id: UUID) -> JournalCase | None:
        """The case that a press went into."""
        return self.planned(alert_id_of(tenant, driver, sos_id))

    def open_of(self, tenant: str, driver: str, drill: bool) -> JournalCase | None:
        """The driver's open case."""
        for alert_id in self._of_driver.get((tenant, driver), ()):
            kept = self._planned[alert_id]
            if kept.case.alert.state in OPEN and kept.case.alert.drill is drill:
                return kept
        return None

    def of_provider(self, provider: str, provider_id: str) -> tuple[UUID, UUID] | None:
        """(alert id, attempt id) of what a provider calls so."""
        for alert_id, kept in self._planned.items():
            for attempt in kept.case.attempts.values():
                if (attempt.provider, attempt.provider_id) == (provider, provider_id):
                    return alert_id, attempt.attempt_id
        return None

    def of_attempt(self, attempt_id: UUID) -> UUID | None:
        """The alert of an attempt."""
        return next((a for a, kept in self._planned.items() if attempt_id in kept.case.attempts), None)

    def acting(self) -> Iterator[JournalCase]:
        """Those that this process acts on."""
        return (kept for kept in self._planned.values() if kept.acting)

    def due(self, now_ms: int, down: frozenset[Channel]) -> list[JournalCase]:
        """Those that it acts on and whose time has come, that wait in a channel which is ``down``, or whose
        times are in the future since the clock was set back.
        """
        found = []
        for kept in self.acting():
            next_ms = self._next_ms.get(kept.case.alert.alert_id)
            is_due = next_ms is not None and next_ms <= now_ms
            if is_due or _waits(kept.case, down) or latest_ms(kept.case) > now_ms + TOLERATED_MS:
                found.append(kept)
        return sorted(found, key=lambda kept: self._next_ms.get(kept.case.alert.alert_id) or 0)


def _waits(case: Case, down: frozenset[Channel]) -> bool:
    return bool(down) and any(a.status in _WAITING and a.channel in down for a in case.attempts.values())
