"""The guard of `./test --fast`: a test that is not marked `engines` cannot start an engine."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, subprocess, sys
import uvloop
from tests import kinds

kinds.forbid_engines()
program, way = sys.argv[1:]

async def start():
    process = await asyncio.create_subprocess_exec(program, "--version")
    await process.wait()

if way == "popen":
    subprocess.run([program, "--version"])
elif way == "asyncio":
    asyncio.run(start())
else:
    uvloop.run(start())
"""


@pytest.mark.parametrize("way", ["popen", "asyncio", "uvloop"])
def test_a_fast_test_that_starts_an_engine_fails(way: str) -> None:
    command = [sys.executable, "-c", SCRIPT, "/usr/lib/postgresql/bin/postgres", way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "a test without the mark `engines` starts postgres" in done.stderr


@pytest.mark.parametrize("way", ["popen", "asyncio", "uvloop"])
def test_a_fast_test_may_start_python(way: str) -> None:
    command = [sys.executable, "-c", SCRIPT, sys.executable, way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Python 3" in done.stdout + done.stderr


def test_a_fast_test_that_reads_a_built_page_fails() -> None:
    script = "from tests import kinds\nkinds.forbid_engines()\nopen('/x/realtime/pages/static/share.html')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "a test without the mark `engines` reads what Node has built" in done.stderr
