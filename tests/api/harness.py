"""The HTTP API on a real Postgres and a real socket; what stands behind its ports are fakes with switches."""

import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import aiohttp
from aiohttp import web
from yarl import URL

from alerts.alert import Alert, Press, opened_alert
from alerts.attempt import Channel
from alerts.ports import Taken
from geo.position import Point
from realtime.admission.authenticate import Admission
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import Intake
from realtime.alerting.publisher import AlertPublisher
from realtime.alerting.standby import Disk, Standby
from realtime.api.alerts.sos import DESK, SOS_LIMITS, SosDesk, SosLimits
from realtime.api.framework.context import ApiContext
from realtime.api.framework.limits import REQUEST_LIMITS, RequestLimits
from realtime.api.framework.ports import Condition
from realtime.api.routes import SERVER_LIMITS, add_api
from realtime.auth.tokens import Authenticator, Principal, ShareGrant, mint
from realtime.clock import wall_clock_ms
from realtime.contacts.verification import CodeSender
from realtime.erasure.eraser import Eraser
from realtime.protocol import Code, Refused
from realtime.redis.client import client
from realtime.sessions.book import SessionStore
from realtime.sessions.pairings import Pairings
from realtime.settings import Settings
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.reads import ChangedAlerts
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.journeys.commit import PointBatch, store
from realtime.store.people import tenants
from realtime.store.people.verification_codes import CODE_BUDGET, CodeBudget
from realtime.timers.checkins import CheckIns
from tests.safety.outbox import Outbox, outboxes

PUBLIC_URL = "https://track.example/"
SHARE_TOKEN = "share"
NO_REDIS = "redis://127.0.0.1:1"


@dataclass
class Fakes:
    """Every port of the API. Set ``failure`` to have the next calls of that port raise it."""

    settings: Settings
    rows: dict[tuple[str, str], list[tuple[str, UUID | str, Point, int]]] = field(default_factory=dict)
    presence: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=lambda: {"postgres": True, "redis": True})
    warnings: dict[str, str] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    submitted: list[tuple[Principal, bytes]] = field(default_factory=list)
    limited: list[tuple[str, str]] = field(default_factory=list)
    pressed: list[Press] = field(default_factory=list)
    outboxes: dict[Channel, Outbox] = field(default_factory=outboxes)
    admission: Admission | None = None
    ahead_ms: int = 0
    ack: dict[str, Any] = field(default_factory=lambda: {"ok": True, "through": 2, "voided": [[2, "no_fix"]]})

    def _fail(self, port: str) -> None:
        if port in self.failures:
            raise self.failures[port]

    async def authenticate(self, request_token: str) -> Principal:
        self._fail("authenticate")
        if request_token == SHARE_TOKEN:
            grant = ShareGrant("s1", str(uuid.uuid4()), "journey")
            return Principal("s1", "share", "t1", frozenset(), None, None, 2**53, grant)
        return Authenticator(self.settings).verify(request_token)

    async def verify(self, token: object) -> Principal:
        self._fail("verify")
        assert self.admission is not None
        return await self.admission.verify(token)

    async def authenticate_session(self, value: str | None, *, new: bool) -> Principal:
        self._fail("authenticate")
        assert self.admission is not None
        return await self.admission.authenticate_session(value, new=new)

    async def check(self, principal: Principal, operation: str) -> None:
        self._fail("check")
        self.limited.append((principal.sub, operation))

    async def check_address(self, address: str, operation: str) -> None:
        self._fail("check")
        self.limited.append((address, operation))

    async def of_vendor(self, tenant: str, vendor: str) -> list[tuple[str, UUID | str, Point, int]]:
        self._fail("of_vendor")
        return self.rows.get((tenant, vendor), [])

    async def presence_of_vendor(self, tenant: str, vendor: str) -> Mapping[str, Mapping[str, Any]]:
        return self.presence.get((tenant, vendor), {})

    async def submit(self, principal: Principal, body: bytes) -> bytes:
        self._fail("submit")
        self.submitted.append((principal, body))
        return json.dumps(self.ack).encode()

    async def authenticate_sos(self, token: object) -> Principal:
        self._fail("authenticate_sos")
        return Authenticator(self.settings).verify(token)

    async def press(self, press: Press) -> Taken:
        self._fail("press")
        self.pressed.append(press)
        return Taken(opened_alert(press, 0, press.received_ms).alert, "committed", created=True, joined=False)

    @property
    def code(self) -> str:
        """The code that was sent by text message last."""
        return self.outboxes[Channel.SMS].sent[-1].alert.message

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def health(self) -> Condition:
        self._fail("health")
        return Condition(self.checks, self.warnings)


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code; fails when the answer is a success or has not the shape of an error."""
        answer = self.json
        assert answer["ok"] is False
        assert isinstance(answer["error"]["message"], str)
        assert answer["error"]["retryable"] in (True, False)
        assert self.headers["Content-Type"].startswith("application/json")
        return str(answer["error"]["code"])


@dataclass
class Api:
    """A running API, and means to fill its database."""

    url: str
    db: Database
    fakes: Fakes
    sessions: SessionStore
    session: aiohttp.ClientSession
    intake: Intake | None = None
    checkins: CheckIns | None = None

    def token(self, role: str = "dispatcher", vendors: Any = None, **more: Any) -> str:
        """A token of tenant t1 unless told otherwise."""
        wanted = {"tenant": "t1", "vendors": vendors} | more
        return mint(self.fakes.settings, role=role, **wanted)  # type: ignore[arg-type]

    async def call(self, method: str, path: str, token: str | None = "", **more: Any) -> Reply:
        """One request; ``token`` "" is a dispatcher's of all vendors of t1, None is none."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token or self.token()}")
        where = URL(self.url + path, encoded=True)  # else the client tidies `..` away
        async with self.session.request(method, where, headers=headers, **more) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, token: str | None = "", **more: Any) -> Reply:
        """GET."""
        return await self.call("GET", path, token, **more)

    async def journey(
        self, driver: str = "d1", vendor: str = "north", tenant: str = "t1", points: int = 0, **more: Any
    ) -> UUID:
        """A new journey with ``points`` made-up points."""
        await tenants.connect_driver(self.db, tenant, vendor, driver)
        now_ms = more.pop("now_ms", time.time_ns() // 1_000_000)
        head = await journeys.start(
            self.db,
            tenant,
            vendor,
            driver,
            uuid.uuid4(),
            now_ms,
            more.get("vehicle"),
            more.get("destination"),
            more.get("route"),
            now_ms,
        )
        await self.fill(
            head.journey_id, tenant, driver, [made_up(seq, now_ms) for seq in range(1, points + 1)]
        )
        return head.journey_id

    async def fill(
        self,
        journey_id: UUID,
        tenant: str,
        driver: str,
        points: list[Point],
        voids: dict[int, str] | None = None,
    ) -> None:
        """Store ``points`` as a commit does."""
        received_ms = time.time_ns() // 1_000_000
        for at in range(0, len(points), 5_000):
            piece = points[at : at + 5_000]
            mine = {seq: why for seq, why in (voids or {}).items() if piece[0].seq <= seq <= piece[-1].seq}
            await store(self.db, [PointBatch(journey_id, tenant, driver, piece, mine, received_ms)], 30.0)


def made_up(seq: int, start_ms: int) -> Point:
    """A plausible point; every third has no altitude."""
    altitude_m = None if seq % 3 == 0 else 10.0
    return Point(seq, start_ms + seq * 1_000, 53.4 + seq * 1e-5, -2.98, 8.5, 90.0, 5.0, altitude_m, 77.0)


class Quiet(AlertPublisher):
    """Announces to nobody: there is no Redis here."""

    def __init__(self) -> None:
        """Nothing to publish on."""

    def changed(self, alert: Alert) -> None:
        """Nobody listens."""


def refused(code: Code, **more: Any) -> Refused:
    """Something for ``Fakes.failures``."""
    return Refused(code, "because", **more)


@dataclass(frozen=True)
class Bounds:
    """What a test may make smaller than production has it."""

    requests: RequestLimits = REQUEST_LIMITS
    sos: SosLimits = SOS_LIMITS
    codes: CodeBudget = CODE_BUDGET


BOUNDS: Final = Bounds()
"""Those of production."""


@asynccontextmanager
async def running(
    database_url: str, redis_url: str = NO_REDIS, bounds: Bounds = BOUNDS, **knobs: Any
) -> AsyncIterator[Api]:
    """The API on a free port of this machine; its sessions are away unless it is given a Redis."""
    folder = TemporaryDirectory()
    settings = Settings(
        database_url=database_url,  # type: ignore[arg-type]
        journal_dir=Path(folder.name),
        **{
            "auth_secret": secrets.token_hex(32),
            "alerts_secret": secrets.token_hex(32),
            "public_url": PUBLIC_URL,
        }
        | knobs,
    )
    fakes = Fakes(settings)
    db = await Database.open(settings)
    redis = client(redis_url, timeout_s=2.0, max_connections=20)
    sessions = SessionStore(redis, 2.0, max_s=settings.session_max_h * 3_600, now_ms=fakes.now_ms)
    fakes.admission = Admission(db, Authenticator(settings), sessions=sessions)
    disk = await Disk.open(settings, "web", db, wall_clock_ms)
    intake = Standby(
        settings,
        disk,
        db,
        PostgresLedger(db, circumstances_of=disk.directory.read),
        Quiet(),
        OpenAlerts(ChangedAlerts(db)),
        {},
        redis,
        by="api",
        clock=time.monotonic,
        now_ms=wall_clock_ms,
    ).intake
    checkins = CheckIns(redis, key=f"sos:checkins:{uuid.uuid4()}")
    app = web.Application()
    app[DESK] = SosDesk(fakes, fakes, lambda: time.time_ns() // 1_000_000, bounds.sos)
    add_api(
        app,
        ApiContext(
            settings=settings,
            db=db,
            authenticator=fakes,
            latest=fakes,
            positions=fakes,
            health=fakes.health,
            limiter=fakes,
            alerts=intake,
            sessions=sessions,
            pairings=Pairings(redis, 2.0),
            checkins=checkins,
            now_ms=fakes.now_ms,
            codes=CodeSender(
                db,
                fakes.outboxes,
                b"secret",
                timeout_s=1.0,
                now_ms=lambda: time.time_ns() // 1_000_000,
                pause_s=0.001,
                budget=bounds.codes,
            ),
            eraser=Eraser(db, [], "key", lambda: time.time_ns() // 1_000_000),
            limits=bounds.requests,
        ),
    )
    try:
        async with served(app) as url, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Api(url, db, fakes, sessions, session, intake, checkins)
    finally:
        await disk.close()
        folder.cleanup()
        await redis.aclose()
        await db.close()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """``app`` on a free port; its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, **SERVER_LIMITS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
