"""How long a socket that was refused waits for its next attempt."""

import pytest

from realtime.fanout.socketio.server import Refusals
from realtime.sockets.gateway import SOS_PAUSE_S, _refusal_pause_s
from realtime.sockets.timings import SOCKET_TIMINGS


@pytest.mark.parametrize(
    ("refusals", "pause_s"),
    [
        (Refusals(1, 0), 0.0),
        (Refusals(2, 0), 0.25),
        (Refusals(6, 0), 4.0),
        (Refusals(90, 0), 4.0),
        (Refusals(1, 10), 0.05),
        (Refusals(2, 100), 0.75),
        (Refusals(1, 800), 4.0),
        (Refusals(1, 100_000), 4.0),
        (Refusals(6, 100_000), 8.0),
    ],
)
def test_a_pause_grows_with_the_refusals_of_a_socket_and_of_its_subscriber(
    refusals: Refusals, pause_s: float
) -> None:
    assert _refusal_pause_s(SOCKET_TIMINGS, refusals, "/watch", {"token": "x"}) == pytest.approx(pause_s)
    assert _refusal_pause_s(SOCKET_TIMINGS, refusals, "/driver", {"token": "x"}) == pytest.approx(pause_s)


def test_a_driver_that_asks_for_an_sos_waits_a_quarter_of_a_second_at_most() -> None:
    pause_s = _refusal_pause_s(SOCKET_TIMINGS, Refusals(6, 100_000), "/driver", {"token": "x", "sos": True})
    assert pause_s == SOS_PAUSE_S == 0.25
