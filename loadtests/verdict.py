"""The end of a run: everything is flushed, seen, read back from the API, and judged."""

from dataclasses import dataclass, field

from gevent.pool import Pool

from loadtests import history
from loadtests.users import World, wait_for
from realtime.client.outbox import Stats
from realtime.client.views import JourneyView

READERS = 8
SHOWN = 20


@dataclass
class Storm:
    """One reconnect storm: how many were cut off, and when all were back and watching, None if never."""

    dropped: int
    back_s: float | None


@dataclass
class Verdict:
    """What came out. ``faults`` is empty when every promise was kept."""

    stats: Stats = field(default_factory=Stats)
    faults: list[str] = field(default_factory=list)
    stored: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing that was acknowledged is missing, and nobody saw a gap or a duplicate."""
        return not self.faults


def settle(world: World, timeout_s: float) -> list[str]:
    """End the journeys and wait until all is acknowledged and seen; what did not become so in time."""
    for driver in world.drivers:
        driver.end()
    late = []
    if not wait_for(lambda: all(driver.outbox.is_done for driver in world.drivers), timeout_s):
        waiting = sum(not driver.outbox.is_done for driver in world.drivers)
        late.append(f"{waiting} drivers still wait for an acknowledgement")
    # What is wrong then is said by the verdict itself.
    wait_for(lambda: not any(viewer.faults() for viewer in world.viewers), timeout_s)
    return late


def judge(world: World, late: list[str], storms: list[Storm]) -> Verdict:
    """Read every journey back and compare."""
    verdict = Verdict(faults=list(late))
    for driver in world.drivers:
        verdict.stats.add(driver.outbox.stats)
    tokens = {driver.name: driver.token for driver in world.drivers}

    def read(journey_id: str) -> tuple[int, list[str]]:
        log = world.ledger.logs[journey_id]
        try:
            stored = history.points(world.url, tokens[log.driver], journey_id)
        except history.ApiError as error:
            return 0, [f"journey {journey_id} cannot be read: {error}"]
        return len(stored), world.ledger.judge_history(journey_id, stored)

    for stored, faults in Pool(READERS).imap_unordered(read, list(world.ledger.logs)):
        verdict.stored += stored
        verdict.faults += faults
    for viewer in world.viewers:
        verdict.faults += viewer.faults()
    if not verdict.stats.acknowledged:
        verdict.faults.append("nothing was acknowledged")
    if verdict.stats.rewound:
        verdict.faults.append(f"{verdict.stats.rewound} acknowledged points were asked for again")
    verdict.faults += [f"storm {n}: not all came back" for n, s in enumerate(storms, 1) if s.back_s is None]
    verdict.lines = _lines(world, verdict, storms)
    return verdict


def _lines(world: World, verdict: Verdict, storms: list[Storm]) -> list[str]:
    stats = verdict.stats
    contacts = [viewer.view for viewer in world.viewers if isinstance(viewer.view, JourneyView)]
    boards = [viewer.view for viewer in world.viewers if not isinstance(viewer.view, JourneyView)]
    lines = [
        "accounting by sequence number",
        f"  drivers {len(world.drivers)}: journeys {len(world.ledger.logs)}, points {stats.added}, "
        f"acknowledged {stats.acknowledged}, voided {stats.voided}, sent again {stats.resent}, "
        f"read back {verdict.stored}, errors answered {dict(stats.errors)}",
        f"  contacts {len(contacts)}: points {sum(view.received for view in contacts)}, "
        f"gaps {sum(len(view.gaps) for view in contacts)}, "
        f"duplicates {sum(len(view.duplicates) for view in contacts)}, "
        f"resets {sum(view.resets for view in contacts)}",
        f"  dispatchers {len(boards)}: positions {sum(view.received for view in boards)}, "
        f"went back {sum(view.went_back for view in boards)}",
        f"  connections made {sum(line.connects for line in world.lines)} for {len(world.lines)} users",
    ]
    for number, storm in enumerate(storms, 1):
        back = "never" if storm.back_s is None else f"after {storm.back_s:.1f} s"
        lines.append(f"  storm {number}: {storm.dropped} dropped at once, all back and watching {back}")
    lines += [f"  FAULT {fault}" for fault in verdict.faults[:SHOWN]]
    if len(verdict.faults) > SHOWN:
        lines.append(f"  … and {len(verdict.faults) - SHOWN} more faults")
    lines.append("SOUND" if verdict.is_sound else "NOT SOUND")
    return lines
