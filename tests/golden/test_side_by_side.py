"""Two releases as web processes on one Postgres and one Redis, as in a rolling update.

The earlier release makes the tables and is running when the tables are migrated and today's code starts.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp
import pytest
from socketio import AsyncClient

from realtime.engines.embedded import free_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.probe import http_status
from realtime.engines.redis import EmbeddedRedis
from tests.engines_fixtures import database, in_thread
from tests.golden import names
from tests.golden.earlier import ROOT, run, unpack
from tests.golden.make import SECRET

READY_S = 40.0
HEARD_S = 10.0
VENDOR = "north"
pytestmark = pytest.mark.engines


class Releases(NamedTuple):
    """Where each listens, and their settings."""

    earlier: str
    now: str
    settings: Any


@contextmanager
def web_process(folder: Path, code: Path, environment: Mapping[str, str], name: str) -> Iterator[str]:
    """`wayguard serve` with the packages in ``code``; its URL. It is stopped at the end."""
    port = free_port()
    own = {"PORT": str(port), "INSTANCE_NAME": name, "JOURNAL_DIR": str(folder / name)}
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "realtime.cli", "serve"],
            env={**os.environ, **environment, **own, "PYTHONPATH": str(code)},
            cwd=code,
            stdout=out,
            stderr=out,
        )
        try:
            until_s = time.monotonic() + READY_S
            while in_thread(lambda: http_status("127.0.0.1", port, "/readyz")) != 200:
                ready = process.poll() is None and time.monotonic() < until_s
                assert ready, f"{name} is not ready:\n{log.read_text(errors='replace')[-3_000:]}"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def releases(
    postgres_server: EmbeddedPostgres, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Releases]:
    folder = tmp_path_factory.mktemp("releases")
    code = unpack(folder / "earlier")
    with database(postgres_server, "two releases", "template1") as url:
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_server.url,
            "AUTH_SECRET": SECRET,
            "DATA_DIR": str(folder),
            "ALLOW_UNSAFE_DURABILITY": "true",
            "DRAIN_S": "0",
        }
        settings = names.Settings(database_url=url, auth_secret=SECRET, db_timeout_s=10)  # type: ignore[arg-type]
        shown = run(code, "-c", "import realtime.positions as m; print(m.__file__)")
        assert Path(shown.strip()) == code / "realtime" / "positions.py", "the earlier release is what runs"
        run(code, "-m", "realtime.cli", "migrate", **environment)
        with web_process(folder, code, environment, "earlier") as earlier:
            run(ROOT, "-m", "realtime.cli", "migrate", **environment)
            with web_process(folder, ROOT, environment, "now") as now:
                yield Releases(earlier, now, settings)


@dataclass
class Party:
    """A client of the official library, and all events that it was sent: name and last argument."""

    client: AsyncClient
    namespace: str
    events: list[tuple[str, Any]] = field(default_factory=list)

    async def ask(self, event: str, payload: Any) -> Any:
        """The answer, which must be a success."""
        answer = await self.client.call(event, payload, namespace=self.namespace, timeout=HEARD_S)
        assert answer["ok"], answer
        return answer

    async def hears(self, event: str, wanted: Callable[[Any], bool]) -> Any:
        """The first event that is ``wanted``."""
        until_s = time.monotonic() + HEARD_S
        while time.monotonic() < until_s:
            for name, body in self.events:
                if name == event and wanted(body):
                    return body
            await asyncio.sleep(0.02)
        raise AssertionError(f"no such {event} in {HEARD_S:g} s among {self.events}")


@asynccontextmanager
async def connected(
    url: str, namespace: str, auth: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> AsyncIterator[Party]:
    client = AsyncClient(reconnection=False)
    party = Party(client, namespace)

    async def note(event: str, *arguments: Any) -> None:
        party.events.append((event, arguments[-1] if arguments else None))

    client.on("*", note, namespace=namespace)
    await client.connect(
        url,
        auth=dict(auth),
        headers=dict(headers or {}),
        namespaces=[namespace],
        transports=["websocket"],
        wait_timeout=HEARD_S,
    )
    try:
        yield party
    finally:
        await client.disconnect()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def call(http: aiohttp.ClientSession, method: str, url: str, **more: Any) -> Any:
    async with http.request(method, url, timeout=aiohttp.ClientTimeout(total=HEARD_S), **more) as answer:
        text = await answer.text()
        assert answer.status < 300, f"{method} {url}: {answer.status} {text}"
        return json.loads(text)


async def _add_contact(settings: Any, tenant: str, contact_id: UUID) -> None:
    db = await names.Database.open(settings)
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", tenant)
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, name, phone, phone_verified_ms, created_by) "
            "VALUES ($1, $2, 'Ana', '+442079460001', 1, 'test')",
            contact_id,
            tenant,
        )
    await db.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("driven", "watched"), [("earlier", "now"), ("now", "earlier")])
async def test_a_driver_on_one_release_is_seen_and_helped_on_the_other(
    releases: Releases, driven: str, watched: str
) -> None:
    """A journey, a share, a session, an SOS, the answer by its link, and the end of the session."""
    here, there = getattr(releases, driven), getattr(releases, watched)
    settings, tenant, contact_id = releases.settings, f"t-{uuid4().hex[:12]}", uuid4()
    in_thread(lambda: _add_contact(settings, tenant, contact_id))
    dispatcher = names.mint(settings, role="dispatcher", tenant=tenant, vendors=[VENDOR], driver=None)
    token = names.mint(settings, role="driver", tenant=tenant, vendors=[VENDOR], driver="ada")
    by_token = {"Authorization": f"Bearer {dispatcher}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        # A session begun on one is used on the other.
        async with http.post(
            f"{here}/api/v1/session", headers={**by_token, "X-Wayguard": "console"}
        ) as begun:
            assert begun.status == 201, await begun.text()
            cookie = begun.headers["Set-Cookie"].partition(";")[0]
        by_cookie = {"Cookie": cookie, "X-Wayguard": "console"}
        assert (await call(http, "GET", f"{there}/api/v1/session", headers=by_cookie))["tenant"] == tenant
        async with (
            connected(there, "/watch", {"session": True}, {"Cookie": cookie}) as console,
            connected(here, "/driver", {"token": token}) as driver,
        ):
            await console.ask("watch", {"feed": {"vendor": VENDOR}})
            started = {"client_journey_id": str(uuid4()), "started_at": now_ms()}
            journey = (await driver.ask("journey:start", started))["journey_id"]
            point = [1, now_ms(), 53.4084, -2.9916, 8.5, 90, 5, None, 64]
            await driver.ask("positions", {"journey_id": journey, "points": [point]})
            moved = await console.hears("positions", lambda entries: entries != [])
            assert moved == [["ada", journey, point]]

            # A share made on one is opened on the other.
            wish = {"scope": "journey", "expires_in_s": 600}
            made = await call(
                http, "POST", f"{here}/api/v1/journeys/{journey}/shares", json=wish, headers=by_token
            )
            share = made["url"].rpartition("/")[2].replace("#", ".")
            async with connected(there, "/watch", {"share": share}) as guest:
                seen = await guest.ask("watch", {"feed": {"journey": journey, "since_seq": 0}})
                assert seen["snapshot"]["positions"] == [["ada", journey, point]]
                await driver.ask("positions", {"journey_id": journey, "points": [[2, *point[1:]]]})
                await guest.hears("positions", lambda entries: entries[-1][2][0] == 2)

            # An SOS pressed on one is answered on the other, by the link of a contact.
            press = {"sos_id": str(uuid4()), "pressed_at": now_ms(), "journey_id": journey, "message": "help"}
            sos = await driver.ask("sos", press)
            assert sos["durability"] == "committed"
            raised = await console.hears("alert", lambda alert: alert["alert_id"] == sos["alert_id"])
            assert (raised["state"], raised["message"]) == ("active", "help")
            link = names.make_token(
                settings.alerts_key, UUID(sos["alert_id"]), str(contact_id), now_ms() + 600_000
            )
            act = {"token": link, "act": "ack"}
            shown = await call(http, "POST", f"{there}/answers/act", json=act)
            assert (shown["state"], shown["mine"]) == ("acknowledged", True)
            helped = await driver.hears("sos:update", lambda body: body["state"] == "acknowledged")
            assert (helped["alert_id"], helped["acknowledged_by"]) == (sos["alert_id"], "Ana")
            seen_here = await call(http, "POST", f"{here}/answers/view", json={"token": link})
            assert (seen_here["state"], seen_here["mine"]) == ("acknowledged", True)
            async with connected(here, "/watch", {"answer": link}) as contact:
                assert (await contact.ask("whoami", {}))["alert_id"] == sos["alert_id"]

            # The session that began on one ends the alert on the other; both tell the same of it.
            where = f"/api/v1/alerts/{sos['alert_id']}"
            await call(http, "POST", f"{there}{where}/resolve", json={"note": "safe"}, headers=by_cookie)
            await driver.hears("sos:update", lambda body: body["state"] == "resolved")
            await console.hears("alert", lambda alert: alert["state"] == "resolved")
            told = [await call(http, "GET", f"{url}{where}", headers=by_token) for url in (here, there)]
            assert told[0] == told[1]
            assert [line["what"] for line in told[0]["history"]].count("acknowledged") == 1

            # It is ended on the one and closed on the other.
            await call(http, "DELETE", f"{here}/api/v1/session", headers=by_cookie)
            closing = await console.hears("closing", lambda body: True)
            assert closing["code"] == "revoked"
