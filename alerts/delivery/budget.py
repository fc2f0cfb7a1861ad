"""Budgets: how many messages may go in a time, and how many tries an address is worth. Pure.

Times are seconds of one monotonic clock. What is remembered is bounded by time: `is_idle` says when an entry
can be forgotten without changing any answer.
"""

from collections import OrderedDict, deque
from typing import Final


class Budget:
    """A token bucket: ``burst`` messages at once, then ``per_s`` a second.

    Messages that are no SOS may use the upper half alone: they never spend what an SOS would need.
    """

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._left = float(burst)
        self._at_s: float | None = None

    def __repr__(self) -> str:
        return f"Budget({self._left:.1f} of {self._burst})"

    def has(self, now_s: float, is_sos: bool) -> bool:
        """Whether one more message may go."""
        floor = 0.0 if is_sos else self._burst / 2
        return self._refilled(now_s) - floor >= 1.0

    def spend(self, now_s: float) -> None:
        """One message goes."""
        self._left = self._refilled(now_s) - 1.0
        self._at_s = now_s

    def refund(self) -> None:
        """A message for which `spend` was called did not go."""
        self._left = min(float(self._burst), self._left + 1.0)

    def is_idle(self, now_s: float) -> bool:
        """Whether it is as a new one."""
        return self._refilled(now_s) >= self._burst

    def _refilled(self, now_s: float) -> float:
        if self._at_s is None:
            return self._left
        return min(float(self._burst), self._left + max(0.0, now_s - self._at_s) * self._per_s)


class Unanswered:
    """Tries to each address that no provider accepted: ``most`` within ``window_s``.

    An accepted message clears its address. At most ``remembered`` addresses are kept; the one that was tried
    longest ago is forgotten first.
    """

    def __init__(self, most: int, window_s: float, remembered: int = 10_000) -> None:
        self._most: Final = most
        self._window_s: Final = window_s
        self._remembered: Final = remembered
        self._tries: Final[OrderedDict[str, deque[float]]] = OrderedDict()

    def is_spent(self, address: str, now_s: float) -> bool:
        """Whether ``address`` is to be left alone now."""
        tries = self._tries.get(address)
        return tries is not None and len(tries) >= self._most and now_s - tries[0] < self._window_s

    def failed(self, address: str, now_s: float) -> None:
        """A try was not accepted."""
        tries = self._tries.setdefault(address, deque(maxlen=self._most))
        tries.append(now_s)
        self._tries.move_to_end(address)
        if len(self._tries) > self._remembered:
            self._tries.popitem(last=False)

    def accepted(self, address: str) -> None:
        """A try was accepted."""
        self._tries.pop(address, None)
