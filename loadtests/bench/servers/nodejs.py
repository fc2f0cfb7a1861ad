"""A Node and its socket.io for the benchmarks: found or fetched, as ``./test`` does for its own."""

import os
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
SERVER: Final = ROOT / "loadtests" / "peers" / "node" / "server.mjs"
_SET_UP: Final = """
set -eu
. deploy/setup.sh
find_node
if [ ! -d loadtests/peers/node/node_modules ] || ! cmp -s loadtests/peers/node/package-lock.json \
    loadtests/peers/node/node_modules/.made-from; then
    (cd loadtests/peers/node && npm ci --no-audit --no-fund >&2)
    cp loadtests/peers/node/package-lock.json loadtests/peers/node/node_modules/.made-from
fi
command -v node
"""
TIMEOUT_S: Final = 600.0


def server() -> list[str]:
    """The command line of Node's server, once everything it needs is there. Raises RuntimeError."""
    done = subprocess.run(
        ["sh", "-c", _SET_UP],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        raise RuntimeError(f"Node's socket.io cannot be fetched: {done.stderr[-800:]}")
    node = done.stdout.strip().splitlines()[-1]
    return [node if node.startswith("/") else str(ROOT / node), str(SERVER)]
