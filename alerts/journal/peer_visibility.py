"""What other processes may be doing with the cases of a journal out of its sight. Pure."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts.values import Alert


class Unseen(Struct, frozen=True):
    """Other processes act on the same cases and cannot be seen, for ``for_ms`` now: everything is looked up
    before it is sent, and this process escalates ``late_ms`` later than planned, to find what they have sent.
    """

    for_ms: int
    late_ms: int


class PeerVisibility:
    """``unseen``: whether others may act on all that is here; `doubt`: that one may act on a single case."""

    def __init__(self) -> None:
        self._doubted: Final[set[UUID]] = set()
        self.may_send: Callable[[], bool] = lambda: True
        """Whether anything may be sent now: who was frozen looks round first."""
        self.unseen: Callable[[], Unseen | None] = lambda: None

    def doubt(self, alert_id: UUID) -> None:
        """Another may have its press as well."""
        self._doubted.add(alert_id)

    def forget(self, alert_id: UUID) -> None:
        """The case is not here any more."""
        self._doubted.discard(alert_id)

    def is_elsewhere(self, alert: Alert, now_ms: int) -> bool:
        """Whether a message of it may have been sent by another: it is looked up first."""
        return alert.alert_id in self._doubted or self._unseen_of(alert, now_ms) is not None

    def lateness_ms(self, alert: Alert, now_ms: int) -> int:
        """How much later than planned it is escalated here."""
        unseen = self._unseen_of(alert, now_ms)
        return 0 if unseen is None else unseen.late_ms

    def _unseen_of(self, alert: Alert, now_ms: int) -> Unseen | None:
        """What was raised since the others cannot be seen is ours alone."""
        unseen = self.unseen()
        return None if unseen is None or alert.raised_ms > now_ms - unseen.for_ms else unseen
