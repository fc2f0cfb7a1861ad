"""A driver removed from the mirror, with proof.

Rows and the Redis hashes go first: then the worker that has the mirror does not write the driver again. What
it may have had under way is waited for, and looked for afterwards.
"""

import asyncio
from typing import Any, Final

from msgspec import Struct

from realtime.mirror.keys import key_of
from realtime.mirror.nodes import ALERTS, JOURNEYS, LIVE
from realtime.mirror.remote import RealtimeDatabase

LOOKS: Final = 5
PAUSE_S: Final = 2.5
"""Longer than from one reading of the worker to the end of the update that follows."""


class Erased(Struct, frozen=True):
    """``removed``: paths that were there; ``left``: those that were still there at the last look."""

    removed: tuple[str, ...]
    left: tuple[str, ...]


async def erase(
    remote: RealtimeDatabase, tenant: str, vendor: str | None, driver: str, pause_s: float = PAUSE_S
) -> Erased:
    """Remove ``driver`` (of ``vendor``, or None: of all the tenant's vendors) from the mirror.

    Raises RemoteAway: then it is to be tried again.
    """
    removed: dict[str, None] = {}
    for _ in range(LOOKS):
        there = await paths_of_driver(remote, tenant, vendor, driver)
        if not there and removed:
            return Erased(tuple(removed), ())
        if there:
            await remote.update(dict.fromkeys(there))
            removed |= dict.fromkeys(there)
        await asyncio.sleep(pause_s)
        if not there and not await paths_of_driver(remote, tenant, vendor, driver):
            return Erased(tuple(removed), ())
    return Erased(tuple(removed), tuple(await paths_of_driver(remote, tenant, vendor, driver)))


async def paths_of_driver(
    remote: RealtimeDatabase, tenant: str, vendor: str | None, driver: str
) -> list[str]:
    """Where the mirror has ``driver``: the position, the journeys, the alerts. Raises RemoteAway."""
    paths = []
    for section in (LIVE, JOURNEYS, ALERTS):
        root = f"{section}/{key_of(tenant)}"
        vendors = await remote.keys(root) if vendor is None else [key_of(vendor)]
        for branch in (f"{root}/{name}" for name in vendors):
            if section == LIVE:
                leaves = await remote.keys(branch)
                paths += [f"{branch}/{leaf}" for leaf in leaves if leaf == key_of(driver)]
            else:
                paths += [f"{branch}/{leaf}" for leaf in _of_driver(await remote.get(branch), driver)]
    return paths


def _of_driver(nodes: Any, driver: str) -> list[str]:
    if not isinstance(nodes, dict):
        return []
    return [key for key, node in nodes.items() if isinstance(node, dict) and node.get("driver") == driver]
