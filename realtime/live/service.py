"""The live picture of one instance: what is latest, who is present, and the way of both to viewers."""

import contextlib
from collections.abc import Callable
from typing import Final

from realtime.bus.bus import RedisBus
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.hub.hub import Hub
from realtime.live.h3_index import H3Index
from realtime.live.meter import FanoutMetrics
from realtime.live.precedence import supersedes
from realtime.live.presence_tracker import PresenceTracker
from realtime.live.publisher import LivePublisher
from realtime.live.redis_state import LiveState
from realtime.live.source import LiveOrigin
from realtime.live.topics import POSITIONS
from realtime.metrics import instruments
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.db.database import Database


class LiveService:
    """Its parts are made, started and stopped together. ``on_stalled``: what becomes of who reads nothing."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        client: Client,
        *,
        namespace: str,
        on_stalled: Callable[[EngineSocket], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.state: Final = LiveState(client, settings.redis_timeout_s)
        self.bus: Final = RedisBus(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
        self.origin: Final = LiveOrigin(db, self.state, lambda channel: self.publisher.unsent(channel))
        self.hub: Final = Hub(
            self.bus,
            self.origin,
            FanoutMetrics(),
            namespace=namespace,
            tick_s=settings.fanout_tick_ms / 1000,
            buffer_limit_bytes=settings.viewer_buffer_bytes,
            stall_s=settings.viewer_stall_s,
            on_stalled=on_stalled,
            space=H3Index(),
            rules={POSITIONS: supersedes},
            on_late=instruments.TICK_LATE.observe,
            now_ms=now_ms,
        )
        self.publisher: Final = LivePublisher(self.hub, self.bus, self.state, now_ms)
        self.presence: Final = PresenceTracker(
            self.publisher,
            client,
            instance=self.bus.publisher,
            stale_after_s=settings.stale_after_s,
            timeout_s=settings.redis_timeout_s,
            now_ms=now_ms,
        )

    def start(self) -> None:
        """Begin to hear, to send and to keep presence."""
        self.hub.start()
        self.publisher.start()
        self.presence.start()

    async def stop(self) -> None:
        """End all of it."""
        for part in (self.presence, self.publisher, self.hub):
            with contextlib.suppress(Exception):
                await part.stop()
