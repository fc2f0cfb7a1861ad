"""Many equal delays on one timer.

Every client has the same ping interval and the same timeouts, so what was added first is due first: one
ordered dict and one timer of the loop stand for thousands of timer handles.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class TimeoutQueue(Generic[T]):
    """Calls ``due(item)`` ``delay_s`` seconds after ``add(item)``, unless it was discarded or added again."""

    def __init__(self, delay_s: float, due: Callable[[T], None]) -> None:
        self._delay_s = delay_s
        self._due = due
        self._items: OrderedDict[T, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def add(self, item: T) -> None:
        """Start ``item``'s delay, again if it was under way."""
        loop = asyncio.get_running_loop()
        self._items.pop(item, None)
        self._items[item] = due_s = loop.time() + self._delay_s
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._ring)

    def discard(self, item: T) -> None:
        """Forget ``item``. The last one takes the timer with it."""
        self._items.pop(item, None)
        if not self._items and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._timer = None
        ripe: list[T] = []
        for item, due_s in self._items.items():
            if due_s > now_s:
                self._timer = loop.call_at(due_s, self._ring)
                break
            ripe.append(item)
        for item in ripe:
            # One that was called before it may have discarded or renewed it.
            if self._items.get(item, now_s + 1) <= now_s:
                del self._items[item]
                try:
                    self._due(item)
                except Exception as error:
                    loop.call_exception_handler({"message": "a delayed call failed", "exception": error})
        if self._items and self._timer is None:
            self._timer = loop.call_at(next(iter(self._items.values())), self._ring)
