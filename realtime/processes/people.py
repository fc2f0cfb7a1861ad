"""What an instance needs to look after people: codes that verify addresses, and erasure."""

from collections.abc import Callable, Sequence
from typing import Final

from realtime.alerting.notifiers import ConfiguredNotifiers
from realtime.contacts.verification import CodeSender
from realtime.erasure.eraser import DataStore, Eraser, places_of
from realtime.mirror.remote import open_remote
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.db.database import Database


class People:
    """``codes``, sent by ``ways_out``, and ``eraser``. `close` lets go of the mirror.

    Raises ValueError for settings by half.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        client: Client,
        ways_out: ConfiguredNotifiers,
        now_ms: Callable[[], int],
        places: Sequence[DataStore] = (),
    ) -> None:
        self._remote: Final = open_remote(settings)
        self.codes: Final = CodeSender(
            db,
            ways_out.by_channel,
            settings.alerts_key.encode(),
            timeout_s=settings.delivery_timeout_s,
            now_ms=now_ms,
        )
        everywhere = [*places_of(settings, db, client, self._remote), *places]
        self.eraser: Final = Eraser(db, everywhere, settings.alerts_key, now_ms)

    async def close(self) -> None:
        """Let go of connections."""
        if self._remote is not None:
            await self._remote.close()
