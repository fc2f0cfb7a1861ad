"""Which answers of people are known to have been taken, and for how long."""

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
