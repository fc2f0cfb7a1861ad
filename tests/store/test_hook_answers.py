"""Which answers of people are known to have been taken, and for how long."""

import asyncio

from realtime.store.db.database import Database
from realtime.store.people.replies import KEPT_MS, ReplyStore, forget_answers


async def test_a_text_is_known_for_good_and_a_key_until_its_call_is_of_no_alert(db: Database) -> None:
    book = ReplyStore(db)
    text, key = "SM" + "1" * 32, "CA" + "1" * 32 + ":1"
    for answer_id in (text, key):
        await book.keep(answer_id)
    await forget_answers(db)
    assert await book.is_known(text)
    assert await book.is_known(key)
    async with db.writer() as connection:
        await connection.execute("UPDATE hook_answers SET received_ms = received_ms - $1", KEPT_MS + 1)
    await forget_answers(db)
    assert await book.is_known(text), "replayed, it would answer whatever alert is open then"
    assert not await book.is_known(key)


async def test_the_lease_of_a_phone_has_one_holder_expires_and_leaves_no_row(db: Database) -> None:
    book = ReplyStore(db)
    assert await book.lock("reply:a", "one", 60_000)
    assert not await book.lock("reply:a", "two", 60_000)
    assert await book.lock("reply:b", "two", 1)
    await asyncio.sleep(0.01)
    assert await book.lock("reply:b", "three", 60_000), "it had expired"
    await book.unlock("reply:b", "two")
    assert not await book.lock("reply:b", "two", 60_000), "it is another's by now"
    await book.unlock("reply:b", "three")
    await book.unlock("reply:a", "one")
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM leases WHERE name LIKE 'reply:%'") == 0
