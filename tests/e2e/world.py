"""A tenant of its own for one test: tokens, drivers with a ledger, viewers, HTTP, the truth in Postgres."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp

from realtime.auth.tokens import mint
from realtime.client import DriverClient, JourneyView, Outbox, Watcher
from realtime.client.outbox import AckOutcome, Request
from tests.e2e.cluster import Cluster, until


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Row(NamedTuple):
    """One stored point; a void has a reason and no place."""

    seq: int
    t_ms: int | None
    lat: float | None
    lon: float | None
    heading_deg: float | None
    void_reason: str | None


class Ledger(Outbox):
    """An outbox that remembers what the server has promised: journey id → the last seq acknowledged."""

    def __init__(self, rng: Random, **options: Any) -> None:
        super().__init__(rng, **options)
        self.promised: dict[str, int] = {}
        self.ids: dict[str, str] = {}

    def answered(self, request: Request, answer: object, now_s: float) -> AckOutcome:
        if isinstance(answer, dict) and answer.get("ok") is True:
            if request.event == "journey:start":
                self.ids[request.payload["client_journey_id"]] = answer["journey_id"]
                self.promised.setdefault(answer["journey_id"], 0)
            if request.event == "positions":
                journey_id = request.payload["journey_id"]
                self.promised[journey_id] = max(self.promised.get(journey_id, 0), answer["through"])
        return super().answered(request, answer, now_s)


def ledger_of(driver: DriverClient) -> Ledger:
    """The ledger that a world gave to ``driver``."""
    assert isinstance(driver.outbox, Ledger)
    return driver.outbox


@dataclass
class World:
    """``tenant`` belongs to one test alone."""

    cluster: Cluster
    http: aiohttp.ClientSession
    rng: Random
    tenant: str = field(default_factory=lambda: f"t-{uuid4().hex[:12]}")
    vendor: str = "north"

    # --- credentials

    def token(self, role: str = "dispatcher", driver: str | None = None, **more: Any) -> str:
        vendors = [self.vendor] if role == "driver" else None
        return mint(
            self.cluster.settings,
            role=role,  # type: ignore[arg-type]
            tenant=self.tenant,
            vendors=vendors,
            driver=driver,
            **more,
        )

    # --- clients

    def driver(self, name: str, url: str | None = None, **options: Any) -> DriverClient:
        """A driver's app with a ledger; through the balancer unless ``url`` says where."""
        outbox = options.pop("outbox", None) or Ledger(self.rng)
        token = options.pop("token", None) or self.token("driver", name)
        return DriverClient(
            url or self.cluster.url, token, outbox=outbox, rng=self.rng, http=self.http, **options
        )

    def watcher(self, url: str | None = None, **options: Any) -> Watcher:
        """A dispatcher's viewer; through the balancer unless ``url`` says where."""
        if "share" not in options:
            options.setdefault("token", self.token())
        return Watcher(url or self.cluster.url, rng=self.rng, http=self.http, **options)

    async def call(
        self, method: str, path: str, *, url: str | None = None, role: str = "admin", **more: Any
    ) -> Any:
        """The JSON answer of the HTTP API; fails on anything but success."""
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        timeout = aiohttp.ClientTimeout(total=20)
        where = f"{url or self.cluster.url}{path}"
        async with self.http.request(method, where, headers=headers, timeout=timeout, **more) as answer:
            assert answer.status < 300, f"{method} {path}: {answer.status} {await answer.text()}"
            return await answer.json(content_type=None)

    # --- the truth

    async def stored(self, journey_id: str) -> list[Row]:
        """Every stored row of a journey, as the table has them."""
        truth = await self.cluster.look()
        try:
            rows = await truth.fetch(
                "select seq, t_ms, lat, lon, heading_deg, void_reason from journey_points"
                " where journey_id = $1 and tenant_id = $2 order by seq",
                UUID(journey_id),
                self.tenant,
                timeout=20,
            )
        finally:
            await truth.close(timeout=10)
        return [Row(*row) for row in rows]

    async def ends(self) -> dict[str, tuple[int, int]]:
        """Journey id → (number of rows, last seq) of everything stored for this tenant."""
        truth = await self.cluster.look()
        try:
            rows = await truth.fetch(
                "select journey_id, count(*) as n, max(seq) as last, min(seq) as first from journey_points"
                " where tenant_id = $1 group by journey_id",
                self.tenant,
                timeout=20,
            )
        finally:
            await truth.close(timeout=10)
        assert all(row["first"] == 1 for row in rows)
        return {str(row["journey_id"]): (row["n"], row["last"]) for row in rows}

    async def check_promises(self, ledgers: Iterable[Ledger]) -> None:
        """No acknowledged point is missing, no row is there twice, the seqs are exactly 1..n."""
        promised = {key: n for ledger in ledgers for key, n in ledger.promised.items()}
        ends = await self.ends()
        for journey_id, (rows, last) in ends.items():
            assert rows == last, f"journey {journey_id} has {rows} rows and ends at {last}"
        lost = {key: n for key, n in promised.items() if ends.get(key, (0, 0))[1] < n}
        assert not lost, f"acknowledged and not stored: {lost}"

    async def presence(self, url: str | None = None) -> dict[str, str]:
        """Driver → state, by the HTTP API of one instance."""
        answer = await self.call("GET", f"/api/v1/vendors/{self.vendor}/positions?limit=1000", url=url)
        return {
            entry["driver"]: entry["presence"]["state"]
            for entry in answer["positions"]
            if entry["presence"] is not None
        }

    async def latest(self, url: str | None = None) -> dict[str, tuple[str, int]]:
        """Driver → (journey, seq) of its latest position, by the HTTP API."""
        answer = await self.call("GET", f"/api/v1/vendors/{self.vendor}/positions?limit=1000", url=url)
        return {
            entry["driver"]: (entry["journey_id"], entry["point"][0])
            for entry in answer["positions"]
            if entry["point"] is not None
        }

    async def until_presence(self, expected: dict[str, str], timeout_s: float = 20.0) -> float:
        """Wait until the HTTP API and a fresh watch snapshot of every instance agree with ``expected``.

        A driver that was never seen or was forgotten while away counts as offline.
        """
        wanted = {driver: state for driver, state in expected.items() if state != "offline"}
        seen: dict[str, Any] = {}

        async def agree() -> bool:
            for name in self.cluster.instances:
                url = self.cluster.url_of(name)
                seen[name] = await self.presence(url)
                async with self.watcher(url) as watcher:
                    view = await watcher.watch_vendor(self.vendor)
                    seen[f"{name} watch"] = {d: p["state"] for d, p in view.presence.items()}
            return all(_there(state) == wanted for state in seen.values())

        try:
            return await until(agree, "presence is right", timeout_s, 0.1)
        except AssertionError:
            raise AssertionError(f"presence: expected {wanted}, seen {seen}") from None


def _there(states: dict[str, str]) -> dict[str, str]:
    return {driver: state for driver, state in states.items() if state != "offline"}


def assert_complete(view: JourneyView, rows: list[Row]) -> None:
    """The viewer saw every stored point once and in order, as it is stored."""
    assert view.is_sound, f"gaps {view.gaps}, twice {view.duplicates}, early {view.early}"
    assert [point[0] for point in view.points] == [row.seq for row in rows]
    for point, row in zip(view.points, rows, strict=True):
        assert point[1:4] == [row.t_ms, row.lat, row.lon] or row.void_reason is not None, (point, row)


@asynccontextmanager
async def new_world(cluster: Cluster, seed: int = 1) -> AsyncIterator[World]:
    """A world, its connections closed at the end."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield World(cluster, http, Random(seed))
