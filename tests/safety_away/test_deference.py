"""How long Postgres' deliverers leave an alert to the journals that still have it."""

from uuid import UUID

from realtime.alerting.failover.handback import PRESSED_S, Handback

ACTED, PRESSED = UUID(int=1), UUID(int=2)


class Scene:
    def __init__(self) -> None:
        self.s = 0.0
        self.deference = Handback(lambda: self.s)

    def left(self, *, is_stored: bool = True) -> set[UUID]:
        return set(self.deference.left({ACTED}, {ACTED, PRESSED}, is_stored=is_stored))


def test_what_a_process_acts_on_is_left_for_good_and_what_only_waits_for_a_moment() -> None:
    scene = Scene()
    assert scene.left() == {ACTED, PRESSED}
    scene.s = PRESSED_S
    assert scene.left() == {ACTED}
    scene.s = 86_400.0
    assert scene.left() == {ACTED}


def test_the_time_runs_while_postgres_is_there_alone() -> None:
    scene = Scene()
    for scene.s in (0.0, 100.0, 200.0):
        assert scene.left(is_stored=False) == {ACTED, PRESSED}
    scene.s = 200.0 + PRESSED_S
    assert scene.left() == {ACTED}


def test_what_comes_again_is_left_anew() -> None:
    scene = Scene()
    scene.left()
    scene.s = PRESSED_S
    assert scene.deference.left(set(), set(), is_stored=True) == []
    assert scene.left() == {ACTED, PRESSED}
