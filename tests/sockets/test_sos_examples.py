"""The examples of an SOS, run as they stand against an instance: both ways at once, one alert."""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest

from realtime.store.alerts import reads
from tests.sockets.kit import Server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
NODE = ROOT / "tests" / "node"


@pytest.mark.parametrize("example", ["sos.mjs", "sos.py"])
async def test_an_sos_sent_both_ways_at_once_is_one_alert(server: Server, example: str) -> None:
    driver = f"d-{uuid4()}"
    expired = server.token("driver", "t1", ["v1"], driver=driver, ttl_s=-60)
    await server.driver(driver)
    with tempfile.TemporaryDirectory(dir=NODE, prefix=".examples-") as folder:
        file = shutil.copy(EXAMPLES / example, folder)
        program = sys.executable if example.endswith(".py") else shutil.which("node")
        assert program is not None
        process = await asyncio.create_subprocess_exec(
            program,
            file,
            env={**os.environ, "WAYGUARD_URL": server.url, "WAYGUARD_TOKEN": expired},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    said = dict(re.findall(r"(\w+)=(\S+)", output))
    assert said["durability"] == "committed"
    (alert,) = await reads.list_(server.db, "t1", driver=driver, limit=5)
    assert str(alert.alert_id) == said["alert"]
    assert alert.presses == 1


@pytest.mark.parametrize("example", ["sos.mjs", "sos.py"])
def test_the_page_shows_the_example_as_it_is(example: str) -> None:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    language = "python" if example.endswith(".py") else "js"
    assert f"```{language}\n{(EXAMPLES / example).read_text(encoding='utf-8')}```\n" in page
