"""Which daily partitions of journey_points should be: decided here, done in `upkeep`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from math import ceil

AHEAD_DAYS = 4
"""Days after today that have their partition already: how long upkeep may fail unnoticed."""

_NAME = re.compile(r"journey_points_(\d{4})(\d{2})(\d{2})")


class PartitionState(StrEnum):
    """How a partition's table stands to journey_points.

    A drop goes ATTACHED -> DETACHING -> LOOSE -> gone, and a crash may leave any of them.
    """

    ATTACHED = "attached"
    DETACHING = "detaching"
    LOOSE = "loose"


@dataclass(frozen=True)
class PartitionPlan:
    """What to do, in this order; a day left detaching is finished first and then attached or dropped."""

    make: tuple[date, ...]
    """There is no table."""
    finish: tuple[date, ...]
    """A detach was begun; Postgres allows no other before it is finished."""
    attach: tuple[date, ...]
    """There is a table, it is still kept, and it is not attached."""
    drop: tuple[date, ...]
    """Too old."""


def name_of(day: date) -> str:
    """``journey_points_20260131``."""
    return f"journey_points_{day:%Y%m%d}"


def day_of_name(name: str) -> date | None:
    """The day of a partition's name; None when it is none of ours."""
    named = _NAME.fullmatch(name)
    try:
        return date(int(named[1]), int(named[2]), int(named[3])) if named else None
    except ValueError:
        return None


def oldest_kept(today: date, retention_days: int, journey_max_h: int) -> date:
    """The oldest day whose partition is kept.

    A journey begun at the last moment of a day takes points for ``journey_max_h`` more, and its last point
    is kept ``retention_days``.
    """
    return today - timedelta(days=retention_days + ceil(journey_max_h / 24))


def wanted(today: date) -> list[date]:
    """The days that must have a partition: from yesterday, for a clock that is behind, to AHEAD_DAYS on."""
    return [today + timedelta(days=n) for n in range(-1, AHEAD_DAYS + 1)]


def missing(today: date, attached: Iterable[date]) -> list[date]:
    """The days without a partition that upkeep should have made by now, the furthest one not yet due."""
    there = set(attached)
    return [day for day in wanted(today)[1:-1] if day not in there]


def plan(today: date, oldest: date, existing: Mapping[date, PartitionState]) -> PartitionPlan:
    """What brings ``existing`` to what should be, when days before ``oldest`` are no longer kept."""
    return PartitionPlan(
        make=tuple(day for day in wanted(today) if day not in existing and day >= oldest),
        finish=tuple(sorted(day for day, state in existing.items() if state is PartitionState.DETACHING)),
        attach=tuple(
            sorted(
                day
                for day, state in existing.items()
                if state is not PartitionState.ATTACHED and day >= oldest
            )
        ),
        drop=tuple(sorted(day for day in existing if day < oldest)),
    )
