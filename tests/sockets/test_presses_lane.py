"""An SOS is stored by connections of its own, whatever holds the others."""

from contextlib import AsyncExitStack
from uuid import uuid4

from tests.sockets.kit import Server


async def test_a_press_is_committed_while_every_other_connection_is_in_use(server: Server) -> None:
    instance = server.instance
    driver = await server.driver(f"d-{uuid4()}")
    async with AsyncExitStack() as held:
        for db in (instance.db, instance._alerts_db):
            (pool,) = {name for name, _ in db.connections()}
            for _ in range(db._pool.get_max_size()):
                await held.enter_async_context(db.writer())
            assert db.connections()[pool, "idle"] == 0
        ack = await driver.ask("/driver", "sos", {"sos_id": str(uuid4())})
    assert (ack["ok"], ack["durability"]) == (True, "committed")


async def test_a_connection_for_presses_is_there_before_the_first_press(server: Server) -> None:
    counts = server.instance._press_db.connections()
    assert counts["presses", "idle"] + counts["presses", "used"] >= 1
