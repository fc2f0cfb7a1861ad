"""`wayguard alerts` on a real database."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts.attempt import Channel, Status
from realtime.store.db.database import Database
from tests.alerts.delivery.fakes import an_alert, an_attempt
from tests.safety.test_auditor import db, put

__all__ = ["db"]

FIRST = UUID("11111111-0000-4000-8000-000000000000")


def run(database_url: str, folder: Path, *arguments: str, timeout_s: float = 60) -> tuple[int, str]:
    """Exit code and all that it says."""
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    environ |= {"DATABASE_URL": database_url, "DATA_DIR": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "realtime.cli", "alerts", *arguments]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
async def stored(db: Database) -> None:
    """Two alerts of two tenants: an open one with two messages, a closed drill."""
    opened = replace(
        an_alert(), alert_id=FIRST, raised_ms=2_000, reached_ms=3_500, tenant="t1", driver="dora"
    )
    sent = replace(
        an_attempt(Channel.SMS, opened),
        status=Status.SENT,
        sent_ms=3_000,
        provider="twilio",
        provider_id="SM7",
    )
    waiting = an_attempt(Channel.CALL, opened)
    await put(db, opened, sent, waiting)
    drill = replace(an_alert(), raised_ms=1_000, closed_ms=9_000, drill=True, tenant="t2", driver="emil")
    await put(db, drill)
    async with db.writer() as connection:
        await connection.execute("UPDATE alerts SET closed_ms = 9000 WHERE tenant_id = 't2'")


async def test_alerts_are_listed_the_newest_first_of_whom_one_asks(
    stored: None, database_url: str, tmp_path: Path
) -> None:
    code, text = run(database_url, tmp_path)
    assert code == 0, text
    assert text.index("dora") < text.index("emil")
    assert "sos (drill)" in text
    assert "1.5 s" in text
    assert "emil" not in run(database_url, tmp_path, "--open")[1]
    assert "dora" not in run(database_url, tmp_path, "list", "--tenant", "t2")[1]
    assert "no alerts" in run(database_url, tmp_path, "--tenant", "nobody")[1]


async def test_one_is_explained_by_the_beginning_of_its_id(
    stored: None, database_url: str, tmp_path: Path
) -> None:
    code, text = run(database_url, tmp_path, "show", "11111111-0")
    assert code == 0, text
    for fact in (
        str(FIRST),
        "driver dora",
        "twilio has it (SM7)",
        "call to c1 is due",
        "what happened",
        "now",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "ffff"), 1, "no such alert"),
        (("show", ""), 2, "takes the id"),
        (("list", "11"), 2, "takes the id"),
        (("show", "11", "--tenant", "t2"), 1, "no such alert"),
        (("show", "%"), 1, "no such alert"),
    ],
)
async def test_what_cannot_be_shown_is_said(
    stored: None, database_url: str, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended, text = run(database_url, tmp_path, *arguments)
    assert (ended, says in text) == (code, True), text


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    code, text = run("postgresql://nobody@127.0.0.1:1/none", tmp_path)
    assert code == 1
    assert "the storage is unavailable, try again" in text
    assert "Traceback" not in text
