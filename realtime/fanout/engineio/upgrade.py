"""The probe by which a polling session moves to a websocket.

The client sends ``2probe`` and gets ``3probe``; its pending poll ends with a NOOP; once no poll or post of it
is under way it sends ``5``, and from then on everything goes over the websocket. A probe that says anything
else, ends or takes too long leaves the session on polling. The first to send ``2probe`` is the one that may
complete.
"""

from typing import TYPE_CHECKING, Final

from realtime.fanout.engineio.frames import text_frame
from realtime.fanout.engineio.websocket import WebSocket, put

if TYPE_CHECKING:
    from realtime.fanout.engineio.session import EngineSocket

_ANSWER: Final = text_frame(b"3probe")


class Probe:
    """Hears a websocket until it has taken its session over."""

    __slots__ = ("_session", "websocket")

    def __init__(self, session: "EngineSocket") -> None:
        self._session = session
        self.websocket: WebSocket | None = None

    def heard(self, packet: str | bytes) -> None:
        """``2probe`` or ``5``; anything else ends the probe."""
        session = self._session
        websocket = self.websocket
        assert websocket is not None
        if packet == "2probe" and session.probe is None and session.may_upgrade:
            session.begin_upgrade(self)
            put(websocket.transport, _ANSWER)
        elif packet == "5" and session.probe is self and session.may_upgrade:
            self._forget()
            session.go_direct(websocket)
        else:
            self.fail()

    def lost(self) -> None:
        """The websocket has gone; the session stays on polling."""
        self._forget()

    def fail(self) -> None:
        """End the websocket; the session stays on polling."""
        self._forget()
        if self.websocket is not None:
            self.websocket.close()

    def _forget(self) -> None:
        session = self._session
        session.server.probes.discard(self)
        if session.probe is self:
            session.probe = None
