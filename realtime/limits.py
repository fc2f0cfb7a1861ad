"""How much a connection may send: a token bucket. No I/O, no clock."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Allows ``burst`` at once and ``rate_per_s`` sustained. Times are monotonic seconds of one clock."""

    rate_per_s: float
    burst: float
    level: float
    at_s: float

    @classmethod
    def full(cls, rate_per_s: float, burst: float, now_s: float) -> "TokenBucket":
        """A bucket nobody has taken from."""
        return cls(rate_per_s, burst, burst, now_s)

    def take(self, amount: float, now_s: float) -> float:
        """Take ``amount`` and return 0.0; when it is not there take nothing and return the wait in s.

        More than ``burst`` takes all of a full bucket, so that waiting always helps.
        """
        burst = self.burst
        level = self.level + (now_s - self.at_s) * self.rate_per_s
        self.level = level = level if level < burst else burst
        self.at_s = now_s
        amount = amount if amount < burst else burst
        if level >= amount:
            self.level = level - amount
            return 0.0
        return (amount - level) / self.rate_per_s
