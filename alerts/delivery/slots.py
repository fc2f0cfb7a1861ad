"""Slots: how many messages may be under way at once, and who may use how many of them. Pure.

Two rules hold for every pool of slots:

1. A share is reserved for SOS. Other messages take at most the rest, so however long they hang, an SOS finds
   a slot that they cannot hold.
2. A tenant takes at most `TENANT_FACTOR` times what would be left free (dynamic thresholds, Choudhury and
   Hahne 1998). A tenant that is alone gets three quarters of the pool; n busy tenants get 3/(1+3n) of it
   each, and 1/(1+3n) stays free for the next one.
"""

from collections import Counter
from typing import Final

TENANT_FACTOR: Final = 3


class Slots:
    """``size`` slots, ``reserved`` of them for SOS. A slot is given back with the arguments of its `take`."""

    def __init__(self, size: int, reserved: int) -> None:
        if not 0 <= reserved < size:
            raise ValueError("not every slot can be reserved")
        self.size: Final = size
        self.reserved: Final = reserved
        self.taken_by_sos = 0
        self.taken_by_others = 0
        self._sos: Final[Counter[str]] = Counter()
        self._others: Final[Counter[str]] = Counter()

    def __repr__(self) -> str:
        return f"Slots({self.taken_by_sos} + {self.taken_by_others} of {self.size})"

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return self.taken_by_sos + self.taken_by_others

    @property
    def free(self) -> int:
        """How many slots an SOS may still take. Never negative."""
        return self.size - self.taken

    @property
    def free_for_others(self) -> int:
        """How many slots other messages may still take. Never negative."""
        return min(self.free, max(0, self.size - self.reserved - self.taken_by_others))

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants that have messages under way."""
        return frozenset(self._sos) | frozenset(self._others)

    def has_room(self, tenant: str, is_sos: bool) -> bool:
        """Return whether a message of ``tenant`` may begin."""
        free = self.free if is_sos else self.free_for_others
        used = self._sos if is_sos else self._others
        return free > 0 and used[tenant] < TENANT_FACTOR * free

    def take(self, tenant: str, is_sos: bool) -> None:
        """Take a slot; there must be room."""
        if is_sos:
            self.taken_by_sos += 1
            self._sos[tenant] += 1
        else:
            self.taken_by_others += 1
            self._others[tenant] += 1

    def give_back(self, tenant: str, is_sos: bool) -> None:
        """Give back a slot that was taken with the same arguments."""
        used = self._sos if is_sos else self._others
        if is_sos:
            self.taken_by_sos -= 1
        else:
            self.taken_by_others -= 1
        used[tenant] -= 1
        if not used[tenant]:
            del used[tenant]

    def full_tenants(self, is_sos: bool) -> list[str]:
        """Return the tenants that have messages under way and may not begin another one."""
        used = self._sos if is_sos else self._others
        return [tenant for tenant in used if not self.has_room(tenant, is_sos)]
