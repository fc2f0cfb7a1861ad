"""The release that made the golden files reads what today's code writes, as in a rolling update."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press
from tests.golden import names
from tests.golden.earlier import unpack
from tests.golden.make import ALERT, CONTACT, EXPIRES_MS, NOW_MS, SECRET

READER = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from alerts.answer import read_token
from alerts.journal.ledger import LocalLedger
from realtime.fanout.envelopes import read
from realtime.safety.sealed import local_key
from realtime.settings import Settings

given = json.load(sys.stdin)

async def main():
    key = local_key(Settings(auth_secret=given["secret"]), "journal")
    ledger = await LocalLedger.open(Path(given["folder"]), key, now_ms=lambda: given["now_ms"])
    kept = [json.loads(msgspec.json.encode(one)) for one in ledger.all()]
    await ledger.close()
    token = read_token(given["secret"], given["token"], given["now_ms"])
    envelope = read(bytes.fromhex(given["envelope"]))
    print(json.dumps({"kept": kept, "contact": token.contact_id, "kind": envelope.kind}))

asyncio.run(main())
"""


@pytest.mark.engines
async def test_an_earlier_release_reads_journal_token_and_envelope(tmp_path: Path) -> None:
    earlier, journal = unpack(tmp_path / "earlier"), tmp_path / "journal-folder"
    journal.mkdir()
    key = names.local_key(names.Settings(auth_secret=SECRET), "journal")  # type: ignore[arg-type]
    ledger = await names.LocalLedger.open(journal, key, now_ms=lambda: NOW_MS)
    for drill in (False, True):
        await ledger.press(a_press(NOW_MS, drill=drill), CIRCUMSTANCES)
    kept = [json.loads(msgspec.json.encode(one)) for one in ledger.all()]
    await ledger.close()
    given = {
        "secret": SECRET,
        "folder": str(journal),
        "now_ms": NOW_MS,
        "token": names.make_token(SECRET, ALERT, CONTACT, EXPIRES_MS),
        "envelope": names.Sequencer("p").pack(names.Message("v:t1/v1", "alert", [], NOW_MS)).hex(),
    }
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": str(earlier)},
        cwd=earlier,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"kept": kept, "contact": CONTACT, "kind": "alert"}
    assert len(kept) == 2
