"""A circuit breaker of one provider. Pure: the caller passes the time, in seconds of a monotonic clock.

Closed: every call may begin. Three strikes in a row open it: no call may begin, and the escalation counts the
channel as down. When the pause is over, one call may begin as a probe (half-open): its success closes the
breaker, its failure opens it again for twice as long. A provider that names a time (``Retry-After``) opens it
at once, for that time.
"""

from enum import StrEnum
from typing import Final

STRIKES: Final = 3
PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 30.0


class BreakerState(StrEnum):
    """Whether calls may begin."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The pause is over: one call may begin, or is under way."""


class Breaker:
    """Counts strikes of one provider. Every method takes ``now_s`` of the same monotonic clock."""

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
        """Return the state at ``now_s``."""
        if self._until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._until_s else BreakerState.HALF_OPEN

    def is_down(self, now_s: float) -> bool:
        """Return whether the channel counts as down.

        It does not while half-open without a probe: no message would be sent by it then, and no probe would
        ever find that it has recovered.
        """
        return self.state(now_s) is BreakerState.OPEN or self._probing

    def room(self, now_s: float, wanted: int) -> int:
        """Return how many of ``wanted`` calls may begin now."""
        state = self.state(now_s)
        if state is BreakerState.CLOSED:
            return wanted
        return min(1, wanted) if state is BreakerState.HALF_OPEN and not self._probing else 0

    @property
    def is_fresh(self) -> bool:
        """Whether the breaker is closed and has counted no strike."""
        return self._until_s is None and not self._strikes

    def began(self, now_s: float) -> bool:
        """Begin a call, for which there was room; return whether it probes a half-open breaker."""
        is_probe = self.state(now_s) is BreakerState.HALF_OPEN
        self._probing = self._probing or is_probe
        return is_probe

    def abandoned(self, is_probe: bool = True) -> None:
        """End a call that was not made, and says nothing about the provider."""
        if is_probe:
            self._probing = False

    def well(self) -> None:
        """End a call that the provider answered as one that works."""
        self._strikes = 0
        self._pause_s = self._first_pause_s
        self._until_s = None
        self._probing = False

    def struck(self, now_s: float, retry_after_s: float | None = None, *, is_probe: bool = True) -> None:
        """End a call in which the provider failed; ``retry_after_s``: for how long it says that it will.

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
