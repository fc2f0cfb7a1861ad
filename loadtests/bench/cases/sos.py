"""How fast a cry for help is heard while positions stream, on two instances and a worker.

Each press comes by socket at one instance, or by HTTP at the worker, in turn. Measured from the press, by one
clock: until it is acknowledged (as committed); until a dispatcher, on the other instance, is told; until
an emergency contact with a share link of that driver's journey, on the other instance, is told; until the SMS
provider has accepted the first message. Positions come meanwhile from other drivers of the vendor that the
dispatcher watches, dealt out to both instances. The peer is stock python-socketio on one instance: its ack is
no promise, its viewer is on the same process, and nobody else is told.

Where one case offers no positions, each other case is also given as a multiple of it.

``--press-together N`` measures something else: N drivers press within one second, of which none may be lost.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, Final
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec

from alerts.attempt import Channel
from alerts.policy import Policy, Step
from loadtests.bench.load.positions import LoadResult, LoadSpec, quantiles
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.measurement import run_load
from loadtests.bench.measure.rounds import OURS, Result, Say
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers.system import Engines, Target, engines, migrate, stock, wayguard
from realtime.client.link import ClientConnection
from realtime.engines.embedded import free_port
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_words import Sent

KEY: Final = "dispatcher_p99_ms"
SHOWN: Final = (
    "ack_p50_ms", "ack_p99_ms", "dispatcher_p50_ms", "dispatcher_p99_ms", "contact_p50_ms",
    "contact_p99_ms", "provider_p50_ms", "provider_p99_ms", "points_per_s", "points_p99_ms",
)  # fmt: skip
CONNECTING_AT_ONCE: Final = 20
PATIENCE_S: Final = 60.0
PEER: Final = "stock python-socketio"


@dataclass(frozen=True)
class Options:
    """``offered``: positions a second in all, a case each; ``presses`` are spread over ``seconds``."""

    rounds: int
    seconds: float
    warm_s: float
    presses: int
    drivers: int
    offered: tuple[int, ...]
    peers: bool


@dataclass
class Press:
    """One press: when it was made and when each heard of it, in seconds of one clock."""

    driver: str
    phone: str
    journey_id: str = ""
    at_s: float = 0.0
    heard_s: dict[str, float] = field(default_factory=dict)

    def hear(self, who: str) -> None:
        """``who`` knows now; the first time counts."""
        self.heard_s.setdefault(who, time.monotonic())


class AcceptedMessages(deque[Sent]):
    """The messages that the provider accepted; each is heard of at that moment."""

    def __init__(self, presses: Sequence[Press]) -> None:
        super().__init__()
        self._by_phone = {press.phone: press for press in presses}

    def append(self, item: Sent, /) -> None:
        """Keep it."""
        if (press := self._by_phone.get(item.to)) is not None:
            press.hear("provider")
        super().append(item)


def idle_lines(results: Sequence[Result], *, max_ratio: float = 0.0) -> tuple[list[str], bool]:
    """How many times its idle value the ack of a press takes under each load: a line a load, with the median
    of the rounds and each round. Whether all medians are within ``max_ratio``; 0 = no limit.

    Idle and loaded are compared within a round, which is one run on one machine.
    """
    ours = [one for one in results if one.target == OURS]
    idle = {one.round: one for one in ours if one.case == _case(0)}
    lines, within = [], True
    for case in dict.fromkeys(one.case for one in ours if one.case != _case(0)):
        for key in ("ack_p50_ms", "ack_p99_ms"):
            found = sorted(
                one.figures[key] / idle[one.round].figures[key]
                for one in ours
                if one.case == case and one.round in idle
            )
            if not found:
                continue
            middle = found[len(found) // 2]
            each = ", ".join(f"{ratio:.2f}" for ratio in found)
            lines.append(f"press {key.removesuffix('_ms')}, {case}: {middle:.2f} times idle ({each})")
            within = within and (not max_ratio or not key.startswith("ack_p99") or middle <= max_ratio)
    return lines, within


def _case(offered: int) -> str:
    return f"{offered:,} positions/s offered"


def run(options: Options, say: Say) -> list[Result]:
    """Every case in every round, each on processes that have just been started."""
    made = []
    for round_ in range(1, options.rounds + 1):
        for offered in options.offered:
            with engines() as on:
                migrate(on)
                made.append(_ours(on, options, offered, round_))
                say(made[-1])
                if options.peers:
                    with stock(on, pool=20) as target:
                        made.append(asyncio.run(_measured(on, target, options, offered, round_, None)))
                        say(made[-1])
    return made


def _ours(on: Engines, options: Options, offered: int, round_: int) -> Result:
    phones = TwilioServer(port=free_port())
    outside = {
        "TWILIO_ACCOUNT_SID": phones.account_sid,
        "TWILIO_AUTH_TOKEN": phones.auth_token,
        "TWILIO_FROM": phones.number,
        "TWILIO_BASE_URL": phones.url,
        "OUTSIDE_ALLOW_PRIVATE": "true",
    }
    with wayguard(on, 2, settings=outside) as target:
        target.name = OURS
        return asyncio.run(_measured(on, target, options, offered, round_, phones))


async def _measured(
    on: Engines, target: Target, options: Options, offered: int, round_: int, phones: TwilioServer | None
) -> Result:
    presses = [Press(f"s{round_}-{n}", f"+4477{n:08d}") for n in range(options.presses)]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        crowd = _Crowd(on, target, http, presses)
        if phones is None:
            return await crowd.played(options, offered, round_, ours=False)
        phones.messages = AcceptedMessages(presses)
        await people(target.database_url, presses)
        async with phones:
            return await crowd.played(options, offered, round_, ours=True)


async def people(url: str, presses: Sequence[Press]) -> None:
    """A contact with a number for each driver, and who is told by what."""
    policy = Policy(steps=(Step(("*",), (Channel.SMS,), 3_600),), loops=1)
    names = [press.driver for press in presses]
    db = await asyncpg.connect(url, timeout=30)
    try:
        await db.execute(
            "INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", measure_fleet.TENANT
        )
        await db.execute(
            "INSERT INTO vendors (tenant_id, vendor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            measure_fleet.TENANT,
            measure_fleet.VENDOR,
        )
        await db.execute(
            "INSERT INTO drivers (tenant_id, driver_id, vendor_id)"
            " SELECT $1, name, $2 FROM unnest($3::text[]) name",
            measure_fleet.TENANT,
            measure_fleet.VENDOR,
            names,
        )
        await db.execute(
            "INSERT INTO contacts"
            " (contact_id, tenant_id, driver_id, name, phone, phone_verified_ms, created_by)"
            " SELECT gen_random_uuid(), $1, name, 'Ann', phone, 1, 'bench'"
            " FROM unnest($2::text[], $3::text[]) AS given (name, phone)",
            measure_fleet.TENANT,
            names,
            [press.phone for press in presses],
        )
        await db.execute(
            "INSERT INTO alert_policies (tenant_id, kind, policy, updated_by)"
            " VALUES ($1, 'sos', $2, 'bench')",
            measure_fleet.TENANT,
            msgspec.json.encode(policy).decode(),
        )
    finally:
        await db.close(timeout=10)


class _Crowd:
    """Who presses, and who is to hear of it."""

    def __init__(
        self, on: Engines, target: Target, http: aiohttp.ClientSession, presses: list[Press]
    ) -> None:
        self._on, self._target, self._http, self._presses = on, target, http, presses
        self._links: dict[str, ClientConnection] = {}
        self._open: list[ClientConnection] = []
        self._by_driver = {press.driver: press for press in presses}
        self._failed = 0

    async def played(self, options: Options, offered: int, round_: int, ours: bool) -> Result:
        """The case, from connecting to the last thing heard."""
        await self._connect(ours)
        try:
            load: LoadResult | None = None
            cores: dict[str, float] = {}
            if offered:
                ready = asyncio.Event()
                loading = asyncio.ensure_future(self._load(options, offered, round_, ready))
                await asyncio.wait(
                    {loading, asyncio.ensure_future(ready.wait())}, return_when="FIRST_COMPLETED"
                )
                await self._press_all(options.seconds * 0.9, ours)
                load, cores = await loading
            else:
                await self._press_all(options.seconds * 0.9, ours)
            await self._until_heard(ours)
        finally:
            await asyncio.gather(*(link.close() for link in self._open))
        return self._result(_case(offered), round_, load, cores, ours)

    # --- connecting

    async def _connect(self, ours: bool) -> None:
        first, last = self._target.addresses[0], self._target.addresses[-1]
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def one(press: Press) -> None:
            async with gate:
                link = await self._link(
                    first, "/driver", measure_fleet.token(self._on, "driver", press.driver)
                )
                self._links[press.driver] = link
                if ours:
                    await self._share(press, link, last)

        if ours:
            await self._listen(
                last, "dispatcher", {"token": measure_fleet.token(self._on, "dispatcher", "eve")}, None
            )
        else:
            await self._link(
                first, "/driver", measure_fleet.token(self._on, "driver", "viewer"), "dispatcher"
            )
        await asyncio.gather(*(one(press) for press in self._presses))

    async def _share(self, press: Press, link: ClientConnection, at: tuple[str, int]) -> None:
        """A journey of the driver, and a contact who watches it by a link."""
        started = await link.ask(
            "journey:start", {"client_journey_id": str(uuid4()), "started_at": time.time_ns() // 1_000_000}
        )
        url = f"http://{at[0]}:{at[1]}/api/v1/journeys/{started['journey_id']}/shares"
        bearer = {"Authorization": f"Bearer {measure_fleet.token(self._on, 'driver', press.driver)}"}
        async with self._http.post(
            url, json={"scope": "live", "expires_in_s": 3_600}, headers=bearer
        ) as answer:
            made = await answer.json()
        if answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"a journey cannot be shared: {made}")
        share = f"{made['id']}.{made['url'].rpartition('#')[2]}"
        press.journey_id = started["journey_id"]
        await self._listen(at, "contact", {"share": share}, press.journey_id)

    async def _listen(
        self, at: tuple[str, int], who: str, auth: dict[str, Any], journey_id: str | None
    ) -> None:
        link = await self._opened(at, "/watch", auth, who)
        feed = {"vendor": measure_fleet.VENDOR} if journey_id is None else {"journey": journey_id}
        answer = await link.ask("watch", {"feed": feed})
        if not answer or answer.get("ok") is not True:
            raise RuntimeError(f"a {who} may not watch: {answer}")

    async def _link(self, at: tuple[str, int], namespace: str, token: str, who: str = "") -> ClientConnection:
        return await self._opened(at, namespace, {"token": token}, who)

    async def _opened(
        self, at: tuple[str, int], namespace: str, auth: dict[str, Any], who: str
    ) -> ClientConnection:
        up = asyncio.Event()

        async def session() -> None:
            up.set()
            while link.is_up:
                await link.wait()

        async def credentials() -> dict[str, Any]:
            return auth

        def heard(event: str, args: tuple[Any, ...]) -> None:
            if event == "alert" and who:
                press = self._by_driver.get(str(args[1]["driver"]))
                if press is not None:
                    press.hear(who)

        link = ClientConnection(
            f"http://{at[0]}:{at[1]}", namespace, credentials, on_event=heard, rng=Random(1), http=self._http,
            answer_timeout_s=PATIENCE_S,
        )  # fmt: skip
        link.open(session, up.set)
        self._open.append(link)
        async with asyncio.timeout(PATIENCE_S):
            await up.wait()
        link.check()
        return link

    # --- pressing

    async def _press_all(self, over_s: float, ours: bool) -> None:
        async def one(number: int, press: Press) -> None:
            await asyncio.sleep(over_s * number / len(self._presses))
            asked: dict[str, Any] = {"sos_id": str(uuid4()), "pressed_at": time.time_ns() // 1_000_000}
            if press.journey_id:
                asked["journey_id"] = press.journey_id
            press.at_s = time.monotonic()
            if ours and number % 2:
                answer = await self._by_http(press, asked)
            else:
                answer = await self._links[press.driver].ask("sos", asked)
            if answer and answer.get("ok") is True:
                press.hear("ack")
            else:
                self._failed += 1

        await asyncio.gather(*(one(number, press) for number, press in enumerate(self._presses)))

    async def _by_http(self, press: Press, asked: dict[str, Any]) -> Any:
        url = f"http://127.0.0.1:{self._target.worker_port}/api/v1/sos"
        bearer = {"Authorization": f"Bearer {measure_fleet.token(self._on, 'driver', press.driver)}"}
        async with self._http.post(url, json=asked, headers=bearer) as answer:
            return await answer.json()

    async def _until_heard(self, ours: bool) -> None:
        wanted = {"ack", "dispatcher", "contact", "provider"} if ours else {"ack", "dispatcher"}
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            if all(wanted <= press.heard_s.keys() for press in self._presses):
                return
            await asyncio.sleep(0.1)

    # --- the load

    async def _load(
        self, options: Options, offered: int, round_: int, ready: asyncio.Event
    ) -> tuple[LoadResult, dict[str, float]]:
        loop = asyncio.get_running_loop()
        spec = LoadSpec(
            addresses=self._target.addresses,
            tokens=[
                measure_fleet.token(self._on, "driver", f"b{round_}-{n}") for n in range(options.drivers)
            ],
            batch=1,
            warm_s=options.warm_s,
            seconds=options.seconds,
            rate_per_s=float(offered),
            seed=round_,
        )

        def usage(pid: int) -> Usage:
            postgres = [] if self._on.postgres.pid is None else [self._on.postgres.pid]
            roles = {**self._target.pids, "postgres": postgres, "load client": [pid]}
            return Usage(roles, frozenset({"postgres"}))

        def look() -> dict[str, Any]:
            loop.call_soon_threadsafe(ready.set)
            return {}

        load, cores, _ = await asyncio.to_thread(
            run_load, "loadtests.bench.load.positions", spec, LoadResult, usage, look
        )
        return load, cores

    def _result(
        self, case: str, round_: int, load: LoadResult | None, cores: dict[str, float], ours: bool
    ) -> Result:
        figures: dict[str, float] = {}
        wanted = ("ack", "dispatcher", "contact", "provider") if ours else ("ack", "dispatcher")
        faults = {"refused": self._failed}
        for who in wanted:
            took_s = [press.heard_s[who] - press.at_s for press in self._presses if who in press.heard_s]
            faults[f"{who} never heard"] = len(self._presses) - len(took_s)
            found = quantiles(array("d", took_s))
            figures |= {f"{who}_{name}_ms": found[name] * 1000 for name in ("p50", "p99") if name in found}
        if load is not None:
            figures["points_per_s"] = load.points / load.seconds
            figures["points_p99_ms"] = load.latencies_s.get("p99", 0.0) * 1000
            faults |= {f"positions: {name}": count for name, count in load.errors.items()}
        return Result(
            case=case,
            target=OURS if ours else PEER,
            round=round_,
            figures={name: round(value, 2) for name, value in figures.items()},
            cores={role: round(used, 3) for role, used in cores.items()},
            faults=faults,
        )
