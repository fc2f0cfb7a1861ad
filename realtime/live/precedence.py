"""Which of two positions of a driver is the newer: the one rule of all feeds, lists and stores.

1. Of one journey: the one of the higher seq, whatever the clocks say. Of one seq, where the app contradicts
   itself, or where the seqs are further apart than `SEQ_WINDOW`, the one that arrived last.
2. Of two journeys: the one of an open journey goes before the one of a journey that had ended.
3. Else: the one that arrived last.

``keep_newer.lua`` has the same rule for Redis, ``latest_of_vendor`` in ``points.sql`` for Postgres (whose
seqs have no holes) and ``fleet.ts`` for the console.

A position travels as a `BusItem`: its ``order`` holds the arrival and whether the journey had ended, its
fragment, which is ``["driver","journey",[seq,…``, the rest.
"""

from typing import Final

SEQ_WINDOW: Final = 1 << 20
"""No phone has so many points in its queue: at one a second it would have been offline for twelve days. A
live position with a seq further ahead than this is shown until the next one arrives; by the higher seq it
would be shown for the rest of its journey.
"""
_WINDOW_DIGITS: Final = len(str(SEQ_WINDOW))
ENDED_MS: Final = 1_000_000_000_000
"""Taken from the arrival where the journey had ended: such an order is less than that of any open journey,
and is no time of this product."""


def order_of(received_ms: int, *, ended: bool) -> int:
    """The order of a position that arrived at ``received_ms``; ``ended``: its journey was over by then."""
    return max(0, received_ms - ENDED_MS) if ended else received_ms


def is_ended(order: int) -> bool:
    """Whether the position of ``order`` is one of a journey that had ended."""
    return ENDED_MS // 2 <= order < ENDED_MS


def arrival_ms(order: int) -> int:
    """When the position of ``order`` arrived."""
    return order + ENDED_MS if is_ended(order) else order


def supersedes(known_order: int, known: bytes, order: int, fragment: bytes) -> bool:
    """Whether the position ``fragment`` takes the place of ``known``, both of one driver.

    The same point again does so only to say that its journey has ended since. This runs for every position of
    every watched board: two splits are the cheapest way to journey and seq that was found.
    """
    parts, known_parts = fragment.split(b",", 3), known.split(b",", 3)
    if len(parts) < 4 or len(known_parts) < 4 or parts[1] != known_parts[1]:
        return order > known_order
    seq, known_seq = parts[2], known_parts[2]
    if seq == known_seq:
        if fragment == known:
            return is_ended(order) and not is_ended(known_order)
        return order > known_order
    longest = max(len(seq), len(known_seq))
    if longest >= _WINDOW_DIGITS and _is_far(seq, known_seq):
        return arrival_ms(order) > arrival_ms(known_order)
    if len(seq) == len(known_seq):
        return seq > known_seq
    return len(seq) > len(known_seq)


def _is_far(seq: bytes, known_seq: bytes) -> bool:
    try:
        return abs(int(seq.lstrip(b"[")) - int(known_seq.lstrip(b"["))) > SEQ_WINDOW
    except ValueError:
        return False
