"""Which of the processes that keep a case escalates it and sends its messages. Pure.

One holds a lease on it in Redis. Twice beats never: with Redis away whoever acted goes on, and with Postgres
away as well everybody acts in the end, each at a moment of its own.
"""

import hashlib
from enum import Enum
from typing import Final

from msgspec import Struct

LEASE_S: Final = 15.0
"""How long a case waits for a process that was killed; the lease is renewed every second."""
ORPHANED_S: Final = LEASE_S
"""Without a lease for so long nobody acts on it: who did would have taken the lease at once."""
FROZEN_S: Final = 5.0
"""A process that has not looked round for this long looks round before it sends anything."""
ALONE_S: Final = 30.0
"""With Redis and Postgres away for so long nobody waits for them: what was being sent then is over by now."""
SPREAD_S: Final = 20.0
"""The first process begins somewhere in this time after `ALONE_S`; what does not deliver else, after it."""


class Role(Enum):
    """What a process does with a case."""

    ACT = "act"
    """Escalates and sends."""
    TRY = "try"
    """Takes the lease if nobody has it; acts when it got it."""
    REST = "rest"
    """Keeps its copy."""


class CaseView(Struct, frozen=True):
    """What a process sees of a case. ``holder`` of its lease; ``free_s``: how long there has been none."""

    redis_up: bool
    holder: str | None
    acting: bool
    free_s: float = 0.0
    pressed: bool = False
    """The press has come here just now."""
    served: bool = False
    """Another process delivers it from Postgres, which only this one cannot reach."""
    stands_in: bool = False
    """Redis and Postgres have been away for `ALONE_S`, and this process's own `lateness_s` is over."""


def turn_of(view: CaseView, me: str) -> Role:
    """There are seven cases:

    0. Another delivers it from Postgres: I rest.
    1. Redis is away: who acts goes on, and who is pressed acts.
    2. Redis is away, and Postgres, and both were for long: everybody acts, one after the other.
    3. The lease is mine: I act.
    4. It is another's: I rest, also when I acted until I was frozen, or until Redis was emptied.
    5. It is free, and I act or was pressed: I try to get it.
    6. It is free and was for long: whoever acted is gone, and I try to get it.
    """
    if view.served:
        return Role.REST
    if not view.redis_up:
        return Role.ACT if view.acting or view.pressed or view.stands_in else Role.REST
    if view.holder is not None:
        return Role.ACT if view.holder == me else Role.REST
    if view.acting or view.pressed or view.free_s >= ORPHANED_S:
        return Role.TRY
    return Role.REST


def lateness_s(me: str, delivers: bool) -> float:
    """How much later than planned a process acts while it sees no other: its own, made of its name, so that
    one is first and the next finds at the provider what that one has sent. Whoever ``delivers`` from Postgres
    while that is there goes before those who do not.
    """
    digest = hashlib.blake2b(me.encode(), digest_size=4).digest()
    share = int.from_bytes(digest) / (1 << 8 * len(digest))
    return SPREAD_S * (share if delivers else 1.0 + share)
