"""What the handlers of the HTTP API are given; the wiring fills it in."""

from collections.abc import Callable
from dataclasses import dataclass

from realtime.alerting.ports import Intake
from realtime.api.framework.limits import REQUEST_LIMITS, RequestLimits
from realtime.api.framework.ports import (
    CodeService,
    EraserService,
    Health,
    LatestSource,
    PositionIntake,
    RequestAuthenticator,
)
from realtime.clock import wall_clock_ms
from realtime.live.limiter import RedisLimiter
from realtime.sessions.book import SessionStore
from realtime.sessions.pairings import Pairings
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.timers.checkins import CheckIns


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext:
    """Every outside thing a handler touches."""

    settings: Settings
    db: Database
    authenticator: RequestAuthenticator
    latest: LatestSource
    positions: PositionIntake
    health: Health
    limiter: RedisLimiter
    alerts: Intake
    sessions: SessionStore
    pairings: Pairings
    codes: CodeService | None = None
    """None: no way out is set up by which a code could be sent."""
    eraser: EraserService | None = None
    checkins: CheckIns | None = None
    """None: a check-in that Postgres does not take is refused."""
    now_ms: Callable[[], int] = wall_clock_ms
    limits: RequestLimits = REQUEST_LIMITS
