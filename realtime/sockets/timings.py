"""How often the sockets of one instance are checked for what no message tells."""

from dataclasses import dataclass
from typing import Final

REFUSAL_PAUSES_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Two attempts at once, then fewer: a socket that is not let in lives ten seconds, in which it has seven."""
CROWD_PAUSE_S: Final = 0.005
"""Added to that pause for each other open socket of the same subscriber that was refused. A few phones with
old tokens behind one address do not notice it; thousands of sockets of one attacker make a few attempts each.
"""
MAX_CROWD_PAUSE_S: Final = 4.0
LINK_LATE_MS: Final = 6_000
"""How long after its end a link is waited for: an SOS raised at the last moment is received by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTimings:
    """Pauses between two checks, in seconds. A revoked credential must end its sockets within 5 s."""

    expiry_check_s: float = 1.0
    """Of expired credentials, on the instance's own clock."""
    shares_check_s: float = 3.0
    """Of revoked share links, in Postgres."""
    sessions_check_s: float = 3.0
    """Of sessions that were signed out or revoked, in Redis."""
    vendors_check_s: float = 5.0
    """Of new vendors of a tenant that is watched as a whole, in Postgres."""
    live_places_check_s: float = 5.0
    """Of live links to journeys that have ended, in Postgres."""
    link_late_ms: int = LINK_LATE_MS
    refusal_pauses_s: tuple[float, ...] = REFUSAL_PAUSES_S
    """What a socket that was refused 1, 2, … times waits before its next credential is looked at."""
    crowd_pause_s: float = CROWD_PAUSE_S
    max_crowd_pause_s: float = MAX_CROWD_PAUSE_S


SOCKET_TIMINGS: Final = SocketTimings()
