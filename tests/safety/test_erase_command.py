"""`wayguard erase` on a terminal."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from realtime.alerting.scope_changes import CHANNEL, scopes_of
from realtime.alerting.subscriber import AlertSubscriber
from realtime.bus.bus import RedisBus
from realtime.cli import app
from realtime.erasure.eraser import ErasureRecord, is_signed
from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.engines_fixtures import in_thread
from tests.store.people import put_contact, put_driver

AUTH = "a secret of the tests that is long enough"


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in (
        ("DATABASE_URL", database_url),
        ("REDIS_URL", redis_url),
        ("AUTH_SECRET", AUTH),
        ("DATA_DIR", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    return Settings()


def seed(settings: Settings) -> None:
    async def run() -> None:
        db = await Database.open(settings)
        await put_driver(db, "t1", "north", "d1")
        await put_contact(db, "t1", driver_id="d1")
        await db.close()

    in_thread(run)


def erase(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["erase", *arguments], input=answer)


def test_it_prints_a_proof_that_is_signed_with_the_systems_key(settings: Settings) -> None:
    seed(settings)
    result = erase("--tenant", "t1", "--driver", "d1", "--yes")
    assert result.exit_code == 0, result.output
    proof = msgspec.convert(json.loads(result.stdout), ErasureRecord)
    assert (proof.places["contacts"], proof.places["drivers"]) == ((1, 0), (1, 0))
    assert is_signed(proof, settings.alerts_key)


async def test_running_processes_are_told_to_read_the_driver_again(settings: Settings) -> None:
    heard: list[str] = []
    bus = RedisBus(settings.redis_url.get_secret_value())
    take = AlertSubscriber({CHANNEL: lambda items: heard.extend(scopes_of(items))}, {})
    bus.start(take)
    assert await bus.subscribe(CHANNEL, 20)
    await asyncio.to_thread(seed, settings)
    result = await asyncio.to_thread(erase, "--tenant", "t1", "--driver", "d1", "--yes")
    assert result.exit_code == 0, result.output
    await until(lambda: "t1/d/d1" in heard, "the announcement")
    await bus.stop()


def test_nothing_is_erased_by_who_says_no(settings: Settings) -> None:
    seed(settings)
    assert erase("--tenant", "t1", "--driver", "d1", answer="n\n").exit_code == 1
    result = erase("--tenant", "t1", "--driver", "d1", answer="y\n")
    assert '"drivers": [1, 0]' in " ".join(result.stdout.split()).replace("[ ", "[").replace(" ]", "]")


def test_what_is_no_driver_and_a_database_that_is_away_are_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not an identifier" in erase("--tenant", "t1", "--driver", "a b", "--yes").output
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("DB_TIMEOUT_S", "1")
    result = erase("--tenant", "t1", "--driver", "d1", "--yes")
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
