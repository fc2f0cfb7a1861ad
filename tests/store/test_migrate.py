import asyncpg

from realtime.settings import Settings
from realtime.store.database import Database


async def test_first(database_url: str, redis_url: str) -> None:
    db = await Database.open(Settings(database_url=database_url))
    assert db.is_up
    async with db.writer() as c:
        assert await c.fetchval("select current_user") == "wayguard_writer"
    await db.close()
    c = await asyncpg.connect(database_url)
    print(await c.fetch("select relname from pg_class where relname ~ 'journey_p' and relkind in ('r','p')"))
    await c.close()
