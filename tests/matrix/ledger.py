"""What became of every SOS: the accounts of the matrix. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAY_DOUBLE = frozenset({"killed", "frozen", "partitioned", "lost reply"})
"""Kinds of faults in which a message may come twice: a duplicate beats silence."""
MAX_DOUBLED = 0.01


@dataclass(frozen=True)
class Message:
    """One message that a provider took: to whom, by which channel, of which alert, when (seconds)."""

    channel: str
    to: str
    alert: str
    at_s: float


@dataclass
class Sos:
    """One press, and all that was answered to it."""

    scenario: str
    kind: str
    driver: str
    sos_id: str
    pressed_s: float
    acked_s: float | None = None
    durability: str | None = None
    alert_ids: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    is_stored: bool = False
    """Whether Postgres had it in the end."""
    contact: str | None = None
    """The number of whom alone a message reaches; None: of anybody."""


@dataclass(frozen=True)
class Row:
    """One scenario of the ledger."""

    scenario: str
    kind: str
    pressed: int
    acked: int
    durability: Mapping[str, int]
    reached: int
    exhausted: int
    lost: int
    messages: int
    doubled: int
    split: int
    """Presses that more than one alert was told of."""
    unstored: int
    """Presses that Postgres did not have in the end."""
    first_message_s: tuple[float, float]
    """Median and greatest, from the press to the provider's acceptance of the first message."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost or split, and no more was doubled than may be."""
        if self.lost or self.split or self.unstored or self.acked < self.pressed:
            return False
        return self.kind in MAY_DOUBLE or self.doubled <= MAX_DOUBLED * max(1, self.messages)


def account(presses: Sequence[Sos], messages: Iterable[Message], exhausted: frozenset[str]) -> list[Row]:
    """The ledger, a row a scenario in their order. ``exhausted``: ids of the alerts that were reported so."""
    by_alert: dict[str, list[Message]] = {}
    for message in messages:
        by_alert.setdefault(message.alert, []).append(message)
    scenarios = dict.fromkeys((one.scenario, one.kind) for one in presses)
    return [
        _row(name, kind, [one for one in presses if one.scenario == name], by_alert, exhausted)
        for name, kind in scenarios
    ]


def _row(
    name: str, kind: str, presses: list[Sos], by_alert: Mapping[str, list[Message]], exhausted: frozenset[str]
) -> Row:
    told = {one.sos_id: [m for alert in one.alert_ids for m in by_alert.get(alert, [])] for one in presses}
    reached = [one for one in presses if _first_s(one, told[one.sos_id]) is not None]
    given_up = [
        one for one in presses if not told[one.sos_id] and one.contact is None and one.alert_ids & exhausted
    ]
    doubled = sum(
        count - 1 for found in told.values() for count in Counter((m.channel, m.to) for m in found).values()
    )
    first = sorted((_first_s(one, told[one.sos_id]) or 0.0) - one.pressed_s for one in reached)
    return Row(
        scenario=name,
        kind=kind,
        pressed=len(presses),
        acked=sum(one.acked_s is not None for one in presses),
        durability=Counter(one.durability for one in presses if one.durability),
        reached=len(reached),
        exhausted=len(given_up),
        lost=len(presses) - len(reached) - len(given_up),
        messages=sum(map(len, told.values())),
        doubled=doubled,
        split=sum(len(one.alert_ids) > 1 for one in presses),
        unstored=sum(not one.is_stored for one in presses),
        first_message_s=(first[len(first) // 2], first[-1]) if first else (0.0, 0.0),
    )


def _first_s(sos: Sos, messages: Iterable[Message]) -> float | None:
    """When the first message that reaches somebody was taken."""
    return min((m.at_s for m in messages if sos.contact in (None, m.to)), default=None)


HEAD = (
    "| scenario | fault | SOS | acked | as | reached | exhausted | lost | messages | doubled | split"
    " | not stored | first message: median, last |"
)


def table(rows: Sequence[Row]) -> str:
    """The ledger as Markdown, its sums last."""
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]
    for row in rows:
        kept = ", ".join(f"{name} {count}" for name, count in sorted(row.durability.items()))
        middle_s, last_s = row.first_message_s
        lines.append(
            f"| {row.scenario} | {row.kind} | {row.pressed} | {row.acked} | {kept} | {row.reached} "
            f"| {row.exhausted} | {row.lost} | {row.messages} | {row.doubled} | {row.split} | {row.unstored} "
            f"| {middle_s:.2f} s, {last_s:.2f} s |"
        )
    sums = [sum(getattr(row, name) for row in rows) for name in ("pressed", "acked", "reached", "exhausted")]
    rest = [
        sum(getattr(row, name) for row in rows)
        for name in ("lost", "messages", "doubled", "split", "unstored")
    ]
    lines.append(
        "| **all** | | "
        + " | ".join(map(str, sums[:2]))
        + " | | "
        + " | ".join(map(str, sums[2:] + rest))
        + " | |"
    )
    return "\n".join(lines)
