"""Budgets: how many messages may be sent in a time, and how often an address that fails is tried. Pure.

Times are seconds of one monotonic clock. What is remembered is bounded by time: `is_idle` says when an entry
can be forgotten without changing any answer.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

LONGEST_SPACING_S: Final = 30.0
"""`alerts.retry` makes an SOS wait no longer than this for its next try."""


class Budget:
    """A token bucket: ``burst`` messages at once, then ``per_s`` a second.

    Messages that are no SOS may use only the upper half: the lower half is reserved for SOS.
    """

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst: Final = burst
        self._per_s: Final = per_s
        self._left = float(burst)
        self._at_s: float | None = None

    def __repr__(self) -> str:
        return f"Budget({self._left:.1f} of {self._burst})"

    def has(self, now_s: float, is_sos: bool) -> bool:
        """Return whether one more message may be sent."""
        floor = 0.0 if is_sos else self._burst / 2
        return self._refilled(now_s) - floor >= 1.0

    def spend(self, now_s: float) -> None:
        """Count one message that is sent."""
        self._left = self._refilled(now_s) - 1.0
        self._at_s = now_s

    def refund(self) -> None:
        """Give back what `spend` took for a message that was not sent."""
        self._left = min(float(self._burst), self._left + 1.0)

    def is_idle(self, now_s: float) -> bool:
        """Return whether the budget is as a new one."""
        return self._refilled(now_s) >= self._burst

    def _refilled(self, now_s: float) -> float:
        if self._at_s is None:
            return self._left
        return min(float(self._burst), self._left + max(0.0, now_s - self._at_s) * self._per_s)


class FailedTries:
    """Failures of each address of a tenant, at most ``most`` within ``window_s`` seconds.

    Only failures of the address itself belong here, not those of its provider: an outage of the provider
    would count against every address. An accepted message clears its address. At most ``remembered``
    addresses are stored; the one that failed longest ago is forgotten first.
    """

    def __init__(self, most: int, window_s: float, spacing_s: float = 1.0, remembered: int = 10_000) -> None:
        self._most: Final = most
        self._window_s: Final = window_s
        self._spacing_s: Final = spacing_s
        self._remembered: Final = remembered
        self._addresses: Final[OrderedDict[tuple[str, str], _Address]] = OrderedDict()

    def is_spent(self, tenant: str, address: str, now_s: float) -> bool:
        """Return whether ``address`` of ``tenant`` has failed ``most`` times within the window."""
        found = self._addresses.get((tenant, address))
        if found is None or len(found.failures_s) < self._most:
            return False
        return now_s - found.failures_s[0] < self._window_s

    def failed(self, tenant: str, address: str, now_s: float) -> None:
        """Count a failure of ``address``."""
        key = (tenant, address)
        found = self._addresses.setdefault(key, _Address(deque(maxlen=self._most), now_s))
        found.failures_s.append(now_s)
        self._addresses.move_to_end(key)
        if len(self._addresses) > self._remembered:
            self._addresses.popitem(last=False)

    def accepted(self, tenant: str, address: str) -> None:
        """Forget the failures of ``address``: a message to it was accepted, or refused for good."""
        self._addresses.pop((tenant, address), None)

    def reserve_s(self, tenant: str, address: str, now_s: float) -> float:
        """Return the seconds until the next try of one more message to a spent ``address``.

        Each call reserves a time ``spacing_s`` after the one before, so that the tries of many messages come
        one by one; `LONGEST_SPACING_S` at most. 0 for an address that is not spent.
        """
        if not self.is_spent(tenant, address, now_s):
            return 0.0
        found = self._addresses[tenant, address]
        found.next_s = min(max(found.next_s, now_s) + self._spacing_s, now_s + LONGEST_SPACING_S)
        return found.next_s - now_s


@dataclass(slots=True)
class _Address:
    failures_s: deque[float]
    next_s: float
    """The last time that was reserved for a try."""
