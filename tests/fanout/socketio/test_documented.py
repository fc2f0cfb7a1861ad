"""The example of docs/FANOUT.md does what it shows."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fanout.socketio.kit import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[3] / "docs" / "FANOUT.md"


async def test_the_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found
    example: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], str(DOCUMENT), "exec"), example)
    async with serving(example["server"]) as here:
        (one, sid), (two, other) = await here.joined(), await here.joined("polling")
        assert await one.recv() == f'2["welcome",{{"you":"{sid}"}}]'
        assert await two.recv() == f'2["welcome",{{"you":"{other}"}}]'
        await one.send('21["say","hello"]')
        assert await one.recv() == '31["sent"]'
        assert await two.recv() == f'2["said","{sid}","hello"]'
        await one.send('51-2["upload","a.bin",{"_placeholder":true,"num":0}]', b"\x00\x01")
        for client in (one, two):
            file = '51-["file",{"name":"a.bin","content":{"_placeholder":true,"num":0}}]'
            assert await client.texts(2) == [file, b"\x00\x01"]
        assert await one.recv() == "32[2]"
