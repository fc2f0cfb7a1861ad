"""A circuit breaker of one way out. Pure: the clock is passed in, in seconds that never go back.

Closed: everything goes. Three strikes in a row open it: nothing goes, and the escalation is told that the
channel is down. When the pause is over, one call may go to see (half-open): its success closes the breaker,
its failure opens it again for twice as long. A provider that names a time (``Retry-After``) opens it at
once, for that time.
"""

from enum import StrEnum
from typing import Final

STRIKES: Final = 3
PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 30.0


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The pause is over: one call may go, or is under way."""


class Breaker:
    """``repr`` shows its state. Every method is given ``now_s`` of the same monotonic clock."""

    def __init__(
        self, strikes: int = STRIKES, pause_s: float = PAUSE_S, longest_pause_s: float = LONGEST_PAUSE_S
    ) -> None:
        self._allowed: Final = strikes
        self._first_pause_s: Final = pause_s
        self._longest_pause_s: Final = longest_pause_s
        self._strikes = 0
        self._pause_s = pause_s
        self._until_s: float | None = None
        """None while closed."""
        self._probing = False

    def __repr__(self) -> str:
        return f"Breaker(strikes={self._strikes}, until_s={self._until_s}, probing={self._probing})"

    def state(self, now_s: float) -> BreakerState:
        """Where it is."""
        if self._until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._until_s else BreakerState.HALF_OPEN

    def is_down(self, now_s: float) -> bool:
        """Whether the channel is to be counted as down.

        Not while half-open with nobody asking: nothing would be sent its way then, and nobody would ever
        find out that it is well again.
        """
        return self.state(now_s) is BreakerState.OPEN or self._probing

    def room(self, now_s: float, wanted: int) -> int:
        """How many of ``wanted`` calls may begin now."""
        state = self.state(now_s)
        if state is BreakerState.CLOSED:
            return wanted
        return min(1, wanted) if state is BreakerState.HALF_OPEN and not self._probing else 0

    @property
    def is_fresh(self) -> bool:
        """Whether it is closed and has counted no strike."""
        return self._until_s is None and not self._strikes

    def began(self, now_s: float) -> bool:
        """A call begins; there was room for it. Whether it is the one that probes a half-open breaker."""
        is_probe = self.state(now_s) is BreakerState.HALF_OPEN
        self._probing = self._probing or is_probe
        return is_probe

    def abandoned(self, is_probe: bool = True) -> None:
        """A call that had begun said nothing about the provider, since none was made."""
        if is_probe:
            self._probing = False

    def well(self) -> None:
        """The provider answered as one that works."""
        self._strikes = 0
        self._pause_s = self._first_pause_s
        self._until_s = None
        self._probing = False

    def struck(self, now_s: float, retry_after_s: float | None = None, *, is_probe: bool = True) -> None:
        """The provider failed; ``retry_after_s`` when it said for how long it will.

        ``is_probe``: False for a call that began before the breaker opened: another may be probing now.
        """
        self._strikes += 1
        was_probing = self._probing and is_probe
        if is_probe:
            self._probing = False
        if retry_after_s is not None:
            self._open(now_s, min(max(retry_after_s, 0.0), self._longest_pause_s))
        elif was_probing:
            self._pause_s = min(self._pause_s * 2, self._longest_pause_s)
            self._open(now_s, self._pause_s)
        elif self._until_s is None and self._strikes >= self._allowed:
            self._open(now_s, self._pause_s)

    def _open(self, now_s: float, pause_s: float) -> None:
        self._until_s = max(now_s + pause_s, self._until_s or 0.0)
