"""How long to wait before the next try."""

from random import Random


class Backoff:
    """Exponential, half of it jitter, from ``base_s`` up to ``cap_s``; ``succeeded`` starts over."""

    def __init__(self, rng: Random, *, base_s: float = 1.0, cap_s: float = 30.0) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self.failures = 0

    def failed(self, retry_after_s: float | None = None) -> float:
        """Seconds to wait after one more failure.

        What the server asked for is a floor: the jitter is added to it, so that clients that were all told
        the same number do not all come back at once.
        """
        self.failures += 1
        ceiling_s = min(self._cap_s, self._base_s * 2.0 ** min(self.failures - 1, 16))
        if retry_after_s is not None and retry_after_s >= 0:
            return retry_after_s + self._rng.uniform(0.0, min(max(retry_after_s, 0.1), ceiling_s))
        return ceiling_s * self._rng.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
