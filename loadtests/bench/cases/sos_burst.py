"""Many drivers who press within one second, on two instances and a worker: is one lost, how long it takes.

Each press comes by socket at one of the instances, or by HTTP at the worker, in turn. A driver whose press is
not acknowledged presses again, as the apps do; the time counts from the first press. A press is lost when it
was acknowledged and Postgres does not have it after `PATIENCE_S`, or when its contact's SMS was not accepted
by the provider's stand-in by then. Started as ``sos --press-together N``.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from loadtests.bench.cases.sos import CONNECTING_AT_ONCE, AcceptedMessages, Press, people
from loadtests.bench.load.positions import quantiles
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.rounds import OURS, Result, Say
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers.system import Engines, Target, engines, migrate, wayguard
from realtime.client.link import ClientConnection
from realtime.engines.embedded import free_port
from realtime.engines.postgres import OWNER
from realtime.outside.twilio import TwilioServer

KEY: Final = "ack_p99_ms"
SHOWN: Final = ("ack_p50_ms", "ack_p99_ms", "ack_max_ms", "provider_p50_ms", "provider_p99_ms")
INSTANCES: Final = 2
WITHIN_S: Final = 1.0
"""The presses are spread over this time."""
AGAIN_S: Final = 0.5
"""A press that was not acknowledged is sent again after this."""
PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Options:
    """``presses`` drivers press once each. ``ack_p99_ms``: more than this is a fault; 0 = no limit."""

    rounds: int
    presses: int
    ack_p99_ms: float = 0.0


def run(options: Options, say: Say) -> list[Result]:
    """Every round on processes that have just been started."""
    made = []
    for round_ in range(1, options.rounds + 1):
        with engines() as on:
            migrate(on)
            phones = TwilioServer(port=free_port())
            presses = [Press(f"p{n}", f"+4477{n:08d}") for n in range(options.presses)]
            # Before the processes start: their local copies know what is older than half a minute.
            asyncio.run(people(admin_url(on), presses))
            with wayguard(on, INSTANCES, settings=sandbox_of(phones)) as target:
                made.append(asyncio.run(_measured(on, target, phones, presses, options, round_)))
            say(made[-1])
    return made


def sandbox_of(phones: TwilioServer) -> dict[str, str]:
    """The settings with which our processes send their SMS to ``phones``."""
    return {
        "TWILIO_ACCOUNT_SID": phones.account_sid,
        "TWILIO_AUTH_TOKEN": phones.auth_token,
        "TWILIO_FROM": phones.number,
        "TWILIO_BASE_URL": phones.url,
        "OUTSIDE_ALLOW_PRIVATE": "true",
    }


def admin_url(on: Engines) -> str:
    """The superuser's URL of our database."""
    return on.postgres.admin_url.replace("/postgres?", f"/{OWNER}?")


def usage_of(on: Engines, target: Target) -> Usage:
    """CPU seconds of everything that serves."""
    postgres = [] if on.postgres.pid is None else [on.postgres.pid]
    return Usage({**target.pids, "postgres": postgres}, frozenset({"postgres"}))


def milliseconds(who: str, took_s: Iterable[float]) -> dict[str, float]:
    """``{who}_p50_ms``, ``_p99_ms`` and ``_max_ms`` of these times."""
    found = quantiles(array("d", took_s))
    return {f"{who}_{name}_ms": round(found[name] * 1000, 1) for name in ("p50", "p99", "max") if found}


async def _measured(
    on: Engines, target: Target, phones: TwilioServer, presses: list[Press], options: Options, round_: int
) -> Result:
    accepted = phones.messages = AcceptedMessages(presses)
    # Without a limit of its own: a thousand drivers do not share a pool of connections.
    async with phones, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        crowd = _Crowd(on, target, http, presses)
        await crowd.connect()
        usage, began_s = usage_of(on, target), time.monotonic()
        await crowd.press_all()
        missing = await crowd.until_stored_and_sent()
        cores = {role: used / (time.monotonic() - began_s) for role, used in usage().items()}
        await crowd.close()
    sent = Counter(message.to for message in accepted)
    figures = {
        **milliseconds("ack", _took(presses, "ack")),
        **milliseconds("provider", _took(presses, "provider")),
        "pressed_again": float(crowd.again),
        "sent_twice": float(sum(count - 1 for count in sent.values())),
        **{f"ack_{name}": float(count) for name, count in sorted(crowd.durability.items())},
    }
    faults = {
        "never acknowledged": sum("ack" not in press.heard_s for press in presses),
        "lost: acknowledged and not stored": missing,
        "lost: acknowledged and not sent": sum(
            "ack" in press.heard_s and "provider" not in press.heard_s for press in presses
        ),
    }
    if options.ack_p99_ms:
        faults["acknowledged too late"] = int(figures["ack_p99_ms"] > options.ack_p99_ms)
    return Result(
        case=f"{options.presses:,} presses within {WITHIN_S:g} s",
        target=OURS,
        round=round_,
        figures=figures,
        cores={role: round(used, 3) for role, used in cores.items()},
        faults=faults,
    )


def _took(presses: Sequence[Press], who: str) -> list[float]:
    return [press.heard_s[who] - press.at_s for press in presses if who in press.heard_s]


class _Crowd:
    """The drivers."""

    def __init__(
        self, on: Engines, target: Target, http: aiohttp.ClientSession, presses: list[Press]
    ) -> None:
        self._target, self._http, self._presses = target, http, presses
        self._tokens = [measure_fleet.token(on, "driver", press.driver) for press in presses]
        self._sos_ids = [uuid4() for _ in presses]
        self._links: dict[int, ClientConnection] = {}
        self.again = 0
        """How often a press was sent again."""
        self.durability = Counter[str]()
        """Of the acknowledgements."""

    async def connect(self) -> None:
        """Open the sockets of those who press by socket: two of three."""
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                self._links[number] = await self._opened(number)

        await asyncio.gather(*(one(n) for n in range(len(self._presses)) if n % 3 != 2))

    async def _opened(self, number: int) -> ClientConnection:
        host, port = self._target.addresses[number % 3]
        up = asyncio.Event()

        async def session() -> None:
            up.set()
            while link.is_up:
                await link.wait()

        async def credentials() -> dict[str, Any]:
            return {"token": self._tokens[number]}

        link = ClientConnection(
            f"http://{host}:{port}", "/driver", credentials, on_event=lambda event, args: None,
            rng=Random(number), http=self._http, answer_timeout_s=PATIENCE_S,
        )  # fmt: skip
        link.open(session, up.set)
        async with asyncio.timeout(PATIENCE_S):
            await up.wait()
        link.check()
        return link

    async def press_all(self) -> None:
        """Press, each at a moment of its own, until it is acknowledged."""

        async def one(number: int, press: Press) -> None:
            await asyncio.sleep(WITHIN_S * number / len(self._presses))
            asked = {"sos_id": str(self._sos_ids[number]), "pressed_at": time.time_ns() // 1_000_000}
            press.at_s = time.monotonic()
            while time.monotonic() - press.at_s < PATIENCE_S:
                answer = await self._asked(number, asked)
                if isinstance(answer, dict) and answer.get("ok", "alert_id" in answer) is True:
                    press.hear("ack")
                    self.durability[str(answer.get("durability"))] += 1
                    return
                self.again += 1
                await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*(one(number, press) for number, press in enumerate(self._presses)))

    async def _asked(self, number: int, asked: dict[str, Any]) -> Any:
        if number in self._links:
            return await self._links[number].ask("sos", asked)
        url = f"http://127.0.0.1:{self._target.worker_port}/api/v1/sos"
        bearer = {"Authorization": f"Bearer {self._tokens[number]}"}
        try:
            async with self._http.post(url, json=asked, headers=bearer) as answer:
                return await answer.json() if answer.status == HTTPStatus.OK else None
        except aiohttp.ClientError:
            return None

    async def until_stored_and_sent(self) -> int:
        """Wait for what was acknowledged to be in Postgres and with the provider.

        Returns how many acknowledged presses Postgres does not have when the time is over.
        """
        acknowledged = {
            sos_id
            for sos_id, press in zip(self._sos_ids, self._presses, strict=True)
            if "ack" in press.heard_s
        }
        until_s = time.monotonic() + PATIENCE_S
        db = await asyncpg.connect(self._target.database_url, timeout=30)
        try:
            while True:
                rows = await db.fetch("SELECT sos_id FROM alert_presses")
                missing = acknowledged - {UUID(int=row["sos_id"].int) for row in rows}
                unsent = [p for p in self._presses if "ack" in p.heard_s and "provider" not in p.heard_s]
                if not (missing or unsent) or time.monotonic() >= until_s:
                    return len(missing)
                await asyncio.sleep(0.2)
        finally:
            await db.close(timeout=10)

    async def close(self) -> None:
        """Hang up."""
        await asyncio.gather(*(link.close() for link in self._links.values()))
