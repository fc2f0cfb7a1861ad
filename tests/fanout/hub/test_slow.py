"""Members that are behind: paid what they are owed, or cut off."""

from tests.fanout.hub.kit import BOARD, LIMIT, Here, Viewer, newest
from tests.fanout.kit import until


async def test_a_reader_that_falls_behind_gets_all_of_a_log_once(here: Here) -> None:
    slow, fast = Viewer(), Viewer()
    await here.watch_log(slow)
    await here.watch_log(fast)
    slow.buffered_bytes = LIMIT // 2 + 1  # too much for paying what is owed, not too much to be written to
    here.commit(1)
    await until(lambda: slow.heard == [1], "the first")
    slow.buffered_bytes = LIMIT + 1
    here.commit(*range(2, 3_002))
    await until(lambda: fast.heard[-1:] == [3_001], "the fast one")
    assert slow.heard == [1]
    slow.buffered_bytes = 0
    await until(lambda: slow.heard[-1:] == [3_001], "the slow one")
    assert slow.heard == fast.heard == list(range(1, 3_002))


async def test_no_progress_for_too_long_is_the_end(here: Here) -> None:
    stuck, fine = Viewer(), Viewer()
    await here.watch_board(stuck)
    await here.watch_board(fine)
    stuck.buffered_bytes = LIMIT + 1
    here.move("a", 1)
    await until(lambda: here.cut, "the cut")
    assert set(here.cut) == {stuck.socket}
    assert newest(fine) == {"a": 1}
    here.hub.drop(stuck.socket)
    assert here.hub.counts().behind == 0


async def test_nobody_is_looked_at_who_is_not_behind(here: Here) -> None:
    slow, fast = Viewer(), Viewer()
    await here.watch_log(slow)
    await here.watch_log(fast)
    feeds = here.hub._laggards._feeds
    here.commit(1)
    await until(lambda: slow.heard == fast.heard == [1], "the first")
    assert not feeds
    slow.buffered_bytes = LIMIT + 1
    here.commit(2)
    await until(lambda: here.hub.counts().behind == 1, "one is behind")
    assert [feed.behind() for feed in feeds] == [[slow.socket]]
    slow.buffered_bytes = 0
    await until(lambda: slow.heard == [1, 2] and not feeds, "nobody is")
    assert here.hub.counts().behind == 0


async def test_a_member_that_does_not_take_an_announcement_is_cut_off(here: Here) -> None:
    stuck = Viewer()
    await here.watch_board(stuck)
    stuck.buffered_bytes = LIMIT + 1
    here.hub.announce([BOARD], "alert", "a", lambda member: b"1")
    await until(lambda: stuck.socket in here.cut, "the end of a member that takes nothing")
    assert here.observer.stalls >= 1
