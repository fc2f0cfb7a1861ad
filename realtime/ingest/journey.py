"""What one instance knows of a journey's log, and whether a batch fits on its end. No I/O, no clock.

The stored seqs of a journey are always exactly 1..n. An instance learns n when it first meets the journey and
then lets in only what continues it, so that no hole can be stored; resending what is stored is always fine.
"""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(slots=True, eq=False)
class JourneyLog:
    """``committed`` is n as known here; ``tail`` also counts what waits for its commit. ``bad_times``:
    messages, one after another, of one point whose time cannot be read.

    ``text`` is the id as it is written, since making it costs more than all the rest.
    """

    journey_id: UUID
    tenant: str
    vendor: str
    driver: str
    committed: int
    created_ms: int
    final_seq: int | None = None
    expired: bool = False
    tail: int = 0
    waiting: int = 0
    bad_times: int = 0
    used_s: float = 0.0
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.tail = max(self.tail, self.committed)
        self.text = str(self.journey_id)

    def learned(self, last_seq: int, final_seq: int | None, *, expired: bool) -> None:
        """The journey's head was read from the store: it is never behind what is committed."""
        self.committed = max(self.committed, last_seq)
        self.tail = max(self.tail, self.committed)
        self.final_seq = final_seq
        self.expired = expired

    def continues(self, first_seq: int) -> bool:
        """Whether a batch that begins at ``first_seq`` leaves no hole."""
        return first_seq <= self.tail + 1

    def is_beyond_end(self, last_seq: int) -> bool:
        """Whether a batch up to ``last_seq`` goes past the end the app declared."""
        return self.final_seq is not None and last_seq > self.final_seq

    def admitted(self, last_seq: int) -> None:
        """A batch up to ``last_seq`` now waits for its commit."""
        if last_seq > self.tail:
            self.tail = last_seq
        self.waiting += 1

    def stored(self, last_seq: int) -> None:
        """A waiting batch up to ``last_seq`` is committed."""
        if last_seq > self.committed:
            self.committed = last_seq
            if last_seq > self.tail:
                self.tail = last_seq
        self.waiting -= 1

    def failed(self) -> None:
        """A waiting batch was not stored: what waits behind it cannot be stored either."""
        self.waiting -= 1
        self.tail = self.committed
