"""Presses of one phone in one process take turns before they take a connection.

A phone that presses a thousand times holds one connection of the pool, and nobody else's cry waits behind it.
The same press while it is being kept waits for that, and is answered with what became of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from msgspec import structs

from alerts.alert import Press
from alerts.ports import Taken


class Turns:
    """The presses that are being kept."""

    def __init__(self) -> None:
        self._going: Final[dict[tuple[str, str, UUID], asyncio.Task[Taken]]] = {}
        self._drivers: Final[WeakValueDictionary[tuple[str, str], asyncio.Lock]] = WeakValueDictionary()

    async def take(self, press: Press, keep: Callable[[], Awaitable[Taken]]) -> Taken:
        """``keep`` this press in its driver's turn, or share what it is coming to.

        A caller who goes away does not end it: others may wait for the same.
        """
        key = (press.tenant, press.driver, press.sos_id)
        task = self._going.get(key)
        if task is not None:
            return structs.replace(await asyncio.shield(task), created=False)
        task = asyncio.ensure_future(self._in_turn(press, keep))
        self._going[key] = task
        task.add_done_callback(lambda done: self._gone(key, done))
        return await asyncio.shield(task)

    async def _in_turn(self, press: Press, keep: Callable[[], Awaitable[Taken]]) -> Taken:
        lock = self._drivers.setdefault((press.tenant, press.driver), asyncio.Lock())
        async with lock:
            return await keep()

    def _gone(self, key: tuple[str, str, UUID], done: asyncio.Task[Taken]) -> None:
        self._going.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; nobody waiting is no fault
