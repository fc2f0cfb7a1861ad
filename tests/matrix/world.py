"""The world of the matrix: a cluster, providers that can be broken, a driver with one contact for each SOS.

A driver presses once in it. A contact's number, address and device are nobody else's, so that a message
says whom it speaks of even when it carries no link.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import msgspec

from alerts.attempt import Channel
from alerts.policy import Policy, Step
from alerts.values import Kind
from realtime.auth.tokens import mint
from tests.e2e.cluster import Cluster, until
from tests.e2e.launcher import clock_shift, send_trap
from tests.matrix.ledger import Sos
from tests.matrix.outside import Outside
from tests.matrix.phone import Phone

BROUGHT_IN_S: Final = 60.0

TENANT: Final = "matrix"
VENDOR: Final = "north"
POLICY: Final = Policy(
    steps=(
        Step(("*",), (Channel.SMS,), 20, fallback=(Channel.CALL,)),
        Step(("*",), (Channel.PUSH,), 20, fallback=(Channel.EMAIL,)),
        Step(("*",), (Channel.WEBHOOK,), 3_600),
    ),
    loops=1,
)
"""No channel comes twice in it: one that reaches a contact twice is a duplicate."""
LISTENS_S: Final = 60.0
REACHED_S: Final = 150.0
IMPORTED_S: Final = 90.0
PAUSE_S: Final = 0.25


class World:
    """What a scenario has: ``cluster``, ``outside``, and drivers to press."""

    def __init__(
        self, cluster: Cluster, outside: Outside, http: aiohttp.ClientSession, count: int, rng: random.Random
    ) -> None:
        self.cluster = cluster
        self.outside = outside
        self.http: Final = http
        self._rng = rng
        self._drivers = iter(range(count))

    # --- presses

    def new_press(self, scenario: str, kind: str) -> Sos:
        """A press to come, of a driver who has not pressed yet."""
        return Sos(scenario, kind, driver_name(next(self._drivers)), str(uuid4()), 0.0)

    async def press_all(
        self,
        presses: Sequence[Sos],
        ways: tuple[str, ...] = ("socket", "http"),
        socket_url: str | None = None,
        http_url: str | None = None,
        on_ack: Callable[[Sos], None] | None = None,
        over_s: float = 0.5,
    ) -> None:
        """Press all of them, spread over ``over_s``; returns when each is acknowledged or has given up."""

        async def one(sos: Sos, wait_s: float) -> None:
            token = mint(
                self.cluster.settings, role="driver", tenant=TENANT, vendors=[VENDOR], driver=sos.driver
            )
            await asyncio.sleep(wait_s)
            url = self.cluster.url
            sos.pressed_s = sos.pressed_s or time.monotonic()
            await Phone(self.http, token, socket_url or url, http_url or url).press(sos, ways, on_ack)

        await asyncio.gather(*(one(sos, self._rng.uniform(0, over_s)) for sos in presses))

    async def until_listens(self, name: str) -> None:
        """Wait until a process that was killed runs again, whether it is ready or not."""

        async def answers() -> bool:
            try:
                async with self.http.get(f"{self.cluster.url_of(name)}/metrics") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(answers, f"{name} listens", LISTENS_S)

    def pick(self, names: Sequence[str]) -> str:
        """One of them, by the seed."""
        return self._rng.choice(names)

    def in_groups(self, presses: Sequence[Sos], count: int) -> list[Sequence[Sos]]:
        """The presses in ``count`` groups at most, none of them empty."""
        size = -(-len(presses) // count)
        return [presses[at : at + size] for at in range(0, len(presses), size)]

    # --- Postgres

    async def put_contacts(self, presses: Sequence[Sos]) -> None:
        """Give the drivers of ``presses`` their contact now. No process is told of it."""
        look = await self.cluster.look()
        try:
            await _put_contacts(look, [sos.driver for sos in presses])
        finally:
            await look.close()
        for sos in presses:
            sos.contact = _phone(int(sos.driver[1:]))

    @asynccontextmanager
    async def postgres_slow(self, for_s: float) -> AsyncIterator[None]:
        """For ``for_s`` from now on reads of contacts and writes of alerts wait; the block may end sooner."""
        look = await self.cluster.look()
        transaction = look.transaction()
        await transaction.start()
        await look.execute("LOCK TABLE alerts, contacts IN ACCESS EXCLUSIVE MODE")

        async def release() -> None:
            await asyncio.sleep(for_s)
            await transaction.rollback()

        releasing = asyncio.ensure_future(release())
        try:
            yield
        finally:
            await releasing
            await look.close()

    # --- what became of them

    async def until_reached(self, presses: Sequence[Sos]) -> None:
        """Wait until a message of every press was taken, or REACHED_S are over: the ledger tells."""
        until_s = time.monotonic() + REACHED_S
        while time.monotonic() < until_s:
            reached = {
                (message.alert, to) for message in self.outside.messages() for to in (None, message.to)
            }
            if all(
                any((alert_id, sos.contact) in reached for alert_id in sos.alert_ids)
                for sos in presses
                if sos.alert_ids
            ):
                return
            await asyncio.sleep(PAUSE_S)

    async def until_pushed(self, presses: Sequence[Sos]) -> None:
        """Wait until the second step of the policy has told of every press. Raises AssertionError."""
        until_s = time.monotonic() + REACHED_S
        while time.monotonic() < until_s:
            pushed = {message.alert for message in self.outside.messages() if message.channel == "push"}
            if all(sos.alert_ids & pushed for sos in presses):
                return
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("without postgres nobody was told the next way")

    async def until_imported(self, presses: Sequence[Sos]) -> None:
        """Wait until Postgres has every press, or IMPORTED_S are over; what it has goes into the accounts."""
        wanted = {UUID(sos.sos_id): sos for sos in presses}
        until_s = time.monotonic() + IMPORTED_S
        while True:
            look = await self.cluster.look()
            try:
                rows = await look.fetch(
                    "SELECT p.sos_id, a.alert_id FROM alert_presses p"
                    " JOIN alerts a ON a.tenant_id = p.tenant_id AND a.driver_id = p.driver_id"
                    " WHERE p.tenant_id = $1 AND p.sos_id = ANY($2)",
                    TENANT,
                    list(wanted),
                )
            finally:
                await look.close()
            for row in rows:
                sos = wanted[row["sos_id"]]
                sos.is_stored = True
                sos.alert_ids.add(str(row["alert_id"]))
            if all(sos.is_stored for sos in presses) or time.monotonic() > until_s:
                return
            await asyncio.sleep(PAUSE_S)

    async def exhausted(self) -> frozenset[str]:
        """The alerts that were reported as exhausted."""
        look = await self.cluster.look()
        try:
            rows = await look.fetch(
                "SELECT alert_id FROM alerts WHERE tenant_id = $1 AND alert->>'exhausted_ms' IS NOT NULL",
                TENANT,
            )
        finally:
            await look.close()
        return frozenset(str(row["alert_id"]) for row in rows)

    async def whole(self) -> None:
        """Mend everything, and wait until all parts are there and no journal has anything left to bring in:
        else the next fault would come on top of this one.
        """
        run = self.cluster.folder / "run"
        for name in self.cluster.workers:
            send_trap(run, name).unlink(missing_ok=True)
        clock_shift(run).write_text("0")
        self.outside.mend()
        await self.cluster.whole()
        await until(self._is_brought_in, "every journal is in postgres", BROUGHT_IN_S)

    async def _is_brought_in(self) -> bool:
        names = (*self.cluster.instances, *self.cluster.workers)
        waiting = [await self.cluster.metric(name, "wayguard_journal_waiting") for name in names]
        return sum(waiting) == 0


async def _put_contacts(look: "asyncpg.Connection[Any]", names: Sequence[str]) -> None:
    """A verified contact with a device for each of these drivers."""
    await look.execute(
        "INSERT INTO contacts (contact_id, tenant_id, driver_id, name, phone, email, subject,"
        " phone_verified_ms, email_verified_ms, created_by)"
        " SELECT gen_random_uuid(), $1, name, 'Ann of ' || name, phone, name || '@people.example',"
        " 'contact-' || name, 1, 1, 'matrix' FROM unnest($2::text[], $3::text[]) as given (name, phone)",
        TENANT,
        names,
        [_phone(int(name[1:])) for name in names],
    )
    await look.execute(
        "INSERT INTO devices (tenant_id, push_token, subject, role, platform)"
        " SELECT $1, 'push-' || name, 'contact-' || name, 'driver', 'android'"
        " FROM unnest($2::text[]) name",
        TENANT,
        names,
    )


def driver_name(number: int) -> str:
    """Of the driver who presses as the ``number``th."""
    return f"d{number}"


def _phone(number: int) -> str:
    return f"+4477{number:08d}"


async def seed(cluster: Cluster, count: int, bare: frozenset[int]) -> None:
    """Drivers with a verified contact each, but for the ``bare``, and the policy, before any process has
    started.
    """
    look = await cluster.look()
    numbers = list(range(count))
    names = [driver_name(number) for number in numbers]
    try:
        await look.execute("INSERT INTO tenants (tenant_id) VALUES ($1)", TENANT)
        await look.execute("INSERT INTO vendors (tenant_id, vendor_id) VALUES ($1, $2)", TENANT, VENDOR)
        await look.execute(
            "INSERT INTO drivers (tenant_id, driver_id, vendor_id)"
            " SELECT $1, name, $2 FROM unnest($3::text[]) name",
            TENANT,
            VENDOR,
            names,
        )
        await _put_contacts(look, [driver_name(number) for number in numbers if number not in bare])
        await look.execute(
            "INSERT INTO alert_policies (tenant_id, kind, policy, updated_by) VALUES ($1, $2, $3, 'matrix')",
            TENANT,
            Kind.SOS.value,
            msgspec.json.encode(POLICY).decode(),
        )
    finally:
        await look.close()


@asynccontextmanager
async def opened_world(
    folder: Path, count: int, rng: random.Random, bare: frozenset[int] = frozenset()
) -> AsyncIterator[World]:
    """A world of ``count`` drivers; those of the numbers ``bare`` have no contact yet."""
    async with Outside() as outside:

        async def prepare(cluster: Cluster) -> None:
            await seed(cluster, count, bare)

        async with Cluster(folder, knobs=outside.environ(), prepare=prepare) as cluster:
            outside.key = cluster.settings.alerts_key
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as http:
                yield World(cluster, outside, http, count, rng)
