"""A client of the wire protocol in Python: what drives the replay, the simulator and the tests.

`Outbox` and the views decide and do no I/O; `Link` holds one connection; `DriverClient` and `Watcher` join
them.
"""

from realtime.client.driver import DriverClient
from realtime.client.link import Stopped
from realtime.client.outbox import Outbox, Stats
from realtime.client.views import JourneyView, LatestView
from realtime.client.watcher import Watcher

__all__ = ["DriverClient", "JourneyView", "LatestView", "Outbox", "Stats", "Stopped", "Watcher"]
