"""Many safety timers that are due at one moment, on one instance and a worker: when does each fire.

Each belongs to a driver with a contact. Measured from the moment when they are due, by Postgres' clock, until
the alert is raised; and, by the clock of this machine, which is the same, until the SMS provider's stand-in
has accepted the first message. A timer is lost when it raised no alert or its contact was sent nothing within
`PATIENCE_S`.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import asyncpg
import msgspec

from alerts import timers
from alerts.attempt import Channel
from alerts.policy import Policy, Step
from alerts.timers import Spec, TimerKind
from loadtests.bench.cases.sos import AcceptedMessages, Press, people
from loadtests.bench.cases.sos_burst import milliseconds, sandbox_of, usage_of
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.rounds import OURS, Result, Say
from loadtests.bench.servers.system import Engines, Target, engines, migrate, wayguard
from realtime.engines.embedded import free_port
from realtime.outside.twilio import TwilioServer

KEY: Final = "fired_p99_ms"
SHOWN: Final = ("fired_p50_ms", "fired_p99_ms", "fired_max_ms", "provider_p50_ms", "provider_p99_ms")
AHEAD_MS: Final = 5_000
"""From arming to the moment when all are due: the worker is idle by then."""
PATIENCE_S: Final = 120.0


@dataclass(frozen=True)
class Options:
    """``due`` timers at once. ``fired_max_ms``: one that fires later is a fault; 0 = no limit."""

    rounds: int
    due: int
    fired_max_ms: float = 0.0


def run(options: Options, say: Say) -> list[Result]:
    """Every round on processes that have just been started."""
    made = []
    for round_ in range(1, options.rounds + 1):
        with engines() as on:
            migrate(on)
            phones = TwilioServer(port=free_port())
            with wayguard(on, 1, settings=sandbox_of(phones)) as target:
                made.append(asyncio.run(_measured(on, target, phones, options, round_)))
            say(made[-1])
    return made


async def _measured(
    on: Engines, target: Target, phones: TwilioServer, options: Options, round_: int
) -> Result:
    drivers = [Press(f"t{n}", f"+4477{n:08d}") for n in range(options.due)]
    accepted = phones.messages = AcceptedMessages(drivers)
    await people(target.database_url, drivers)
    async with phones:
        db = await asyncpg.connect(target.database_url, timeout=30)
        try:
            policy = Policy(steps=(Step(("*",), (Channel.SMS,), 3_600),), loops=1)
            await db.execute(
                "INSERT INTO alert_policies (tenant_id, kind, policy, updated_by)"
                " VALUES ($1, 'arrive_by_missed', $2, 'bench')",
                measure_fleet.TENANT,
                msgspec.json.encode(policy).decode(),
            )
            now_ms: int = await db.fetchval("SELECT now_ms()")
            due_ms = now_ms + AHEAD_MS
            await _arm(db, drivers, now_ms, due_ms)
            due_s = time.monotonic() + AHEAD_MS / 1000
            usage = usage_of(on, target)
            raised = await _until_fired(db, drivers)
            cores = {role: used / (time.monotonic() - due_s) for role, used in usage().items()}
        finally:
            await db.close(timeout=10)
    sent = Counter(message.to for message in accepted)
    figures = {
        **milliseconds("fired", [(at_ms - due_ms) / 1000 for at_ms in raised.values()]),
        **milliseconds("provider", [d.heard_s["provider"] - due_s for d in drivers if d.heard_s]),
        "sent_twice": float(sum(count - 1 for count in sent.values())),
    }
    faults = {
        "lost: not fired": len(drivers) - len(raised),
        "lost: not sent": sum(not driver.heard_s for driver in drivers),
    }
    if options.fired_max_ms:
        faults["fired too late"] = sum(at_ms - due_ms > options.fired_max_ms for at_ms in raised.values())
    return Result(
        case=f"{options.due:,} timers due at once",
        target=OURS,
        round=round_,
        figures=figures,
        cores={role: round(used, 3) for role, used in cores.items()},
        faults=faults,
    )


async def _arm(db: asyncpg.Connection, drivers: list[Press], now_ms: int, due_ms: int) -> None:
    """Arm a timer of each driver, as the API would have, but all in one statement."""
    made = []
    for driver in drivers:
        spec = Spec(TimerKind.ARRIVE_BY, uuid4(), by_ms=due_ms)
        by = timers.driver_actor(driver.driver)
        made.append(
            timers.armed(spec, measure_fleet.TENANT, measure_fleet.VENDOR, driver.driver, by, None, now_ms)
        )
    await db.execute(
        "INSERT INTO safety_timers"
        " (timer_id, tenant_id, vendor_id, driver_id, kind, due_ms, state, timer)"
        " SELECT timer_id, $1, $2, driver_id, 'arrive_by', $3, 'armed', timer::json"
        " FROM unnest($4::uuid[], $5::text[], $6::text[]) AS armed (timer_id, driver_id, timer)",
        measure_fleet.TENANT,
        measure_fleet.VENDOR,
        due_ms,
        [timer.timer_id for timer in made],
        [timer.driver for timer in made],
        [msgspec.json.encode(timer).decode() for timer in made],
    )


async def _until_fired(db: asyncpg.Connection, drivers: list[Press]) -> dict[str, int]:
    """When the alert of each driver was raised, once all were raised and sent or the time is over."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        rows = await db.fetch("SELECT driver_id, raised_ms FROM alerts")
        raised = {row["driver_id"]: row["raised_ms"] for row in rows}
        is_done = len(raised) == len(drivers) and all(driver.heard_s for driver in drivers)
        if is_done or time.monotonic() >= until_s:
            return raised
        await asyncio.sleep(0.2)
