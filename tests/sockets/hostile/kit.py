"""Two tenants, and a witness who must never notice what the tests of this folder do."""

from typing import Any
from uuid import UUID

import asyncpg

from alerts.alert import Actor, ActorKind
from realtime.store.journeys import shares
from tests.sockets.kit import Server, census, good, now_ms

SOMEBODY = Actor(ActorKind.OPERATOR, "x")


class World:
    """Two tenants. The witness drives and is watched all the while: it must never notice anything."""

    def __init__(self, server: Server, census_taker: asyncpg.Connection) -> None:
        self.server = server
        self.census_taker = census_taker

    async def begin(self) -> "World":
        server = self.server
        self.witness = await server.driver("witness", "t0", "v0")
        self.watcher = await server.viewer("t0", ["v0"])
        self.witness_journey = await server.journey(self.witness)
        self.seen = 0
        assert (await self.watcher.ask("/watch", "watch", {"feed": {"journey": self.witness_journey}}))["ok"]
        self.victim = await server.driver("victim", "t2", "v2")
        self.victim_journey = await server.journey(self.victim, points=3)
        grant = await shares.create(
            server.db, "t2", UUID(self.victim_journey), "journey", now_ms() + 10**7, "x"
        )
        self.victim_share = ".".join(grant)
        self.driver = await server.driver("d1")
        self.journey = await server.journey(self.driver, points=3)
        self.viewer = await server.viewer()
        return self

    async def others_are_served(self) -> None:
        """The witness stores one more point and its watcher sees it."""
        self.seen += 1
        sent = {"journey_id": self.witness_journey, "points": [good(self.seen)]}
        answer = await self.witness.ask("/driver", "positions", sent)
        assert answer == {"ok": True, "through": self.seen, "voided": []}
        _, items = await self.watcher.event("/watch", "positions")
        assert [item[2][0] for item in items] == [self.seen]

    async def before(self) -> dict[str, Any]:
        return await census(self.census_taker)

    async def unchanged(self, before: dict[str, Any]) -> None:
        """Nothing of anybody has changed; then, that others are served."""
        assert await census(self.census_taker) == before
        await self.others_are_served()


def code(answer: dict[str, Any]) -> str:
    """The code of a refusal, whose shape is checked."""
    assert answer["ok"] is False
    error = answer["error"]
    assert isinstance(error["message"], str)
    assert len(error["message"]) < 250
    assert error["message"].isprintable()
    assert isinstance(error["retryable"], bool)
    return str(error["code"])
