"""Small clients and what tests do with the big ones."""

from typing import Any
from uuid import uuid4

from socketio import AsyncClient
from socketio.exceptions import ConnectionError as ConnectFailed

from realtime.client import DriverClient, LatestView
from tests.e2e.cluster import until
from tests.e2e.world import World, ledger_of, now_ms


def dot(view: LatestView, driver: str) -> int:
    """The seq of a driver's live dot."""
    return int(view.positions[driver][1][0]) if driver in view.positions else 0


def begin(driver: DriverClient, points: int = 1) -> None:
    driver.start(str(uuid4()), now_ms())
    drive(driver, points)


def drive(driver: DriverClient, points: int) -> None:
    for _ in range(points):
        driver.add(now_ms(), 53.4, -2.9)


async def journey_of(driver: DriverClient) -> str:
    """The id of the one journey of ``driver``."""
    await until(lambda: ledger_of(driver).promised, "the journey has begun")
    (journey_id,) = ledger_of(driver).promised
    return journey_id


class Rejected(Exception):
    """CONNECT was refused; ``error`` is why."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error))
        self.error = error


async def knock(url: str, namespace: str, token: str) -> None:
    """Connect once and leave. Raises Rejected."""
    client = AsyncClient(reconnection=False)
    reasons: list[Any] = []
    client.on("connect_error", reasons.append, namespace=namespace)
    try:
        await client.connect(
            url, auth={"token": token}, namespaces=[namespace], transports=["websocket"], wait_timeout=20
        )
    except ConnectFailed:
        raise Rejected(reasons[0]["data"]) from None
    finally:
        await client.disconnect()


class Raw:
    """A driver without an outbox, which shows each answer as it is."""

    def __init__(self, world: World, url: str, name: str) -> None:
        self._world, self._url, self._name = world, url, name
        self._client = AsyncClient(reconnection=False)
        self.journey_id = ""

    async def __aenter__(self) -> "Raw":
        auth = {"token": self._world.token("driver", self._name)}
        await self._client.connect(
            self._url, auth=auth, namespaces=["/driver"], transports=["websocket"], wait_timeout=20
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.disconnect()

    async def ask(self, event: str, payload: dict[str, Any]) -> Any:
        return await self._client.call(event, payload, namespace="/driver", timeout=30)

    async def start(self) -> None:
        payload = {"client_journey_id": str(uuid4()), "started_at": now_ms()}
        self.journey_id = (await self.ask("journey:start", payload))["journey_id"]

    async def send(self, first: int, last: int) -> Any:
        points = [[seq, 1_000 * seq + 1_780_000_000_000, 53.4, -2.9] for seq in range(first, last + 1)]
        return await self.ask("positions", {"journey_id": self.journey_id, "points": points})
