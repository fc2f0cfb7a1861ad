"""Tokens that need a key set from elsewhere are verified in threads that nothing else waits for."""

import asyncio
import threading
from typing import Any, cast

from realtime.admission.authenticate import VERIFYING_THREADS, Admission
from realtime.auth.tokens import Principal

DRIVER = Principal("d1", "driver", "t1", frozenset({"v1"}), "d1", None, 2**53)


class SlowKeys:
    """Verifies no token but that of an SOS until ``release`` is set."""

    needs_thread = True

    def __init__(self) -> None:
        self.release = threading.Event()

    def verify(self, token: object, *, expired_s: float = 0.0) -> Principal:
        if not expired_s:
            self.release.wait(20.0)
        return DRIVER


async def test_tokens_that_wait_for_a_key_set_hold_up_no_sos_and_no_other_thread() -> None:
    keys = SlowKeys()
    admission = Admission(cast(Any, None), cast(Any, keys))
    strangers = [asyncio.ensure_future(admission.authenticate("x")) for _ in range(10 * VERIFYING_THREADS)]
    try:
        async with asyncio.timeout(10.0):
            assert (await admission.authenticate_sos("x")).driver == "d1"
            assert await asyncio.to_thread(lambda: 1) == 1
        assert not any(one.done() for one in strangers)
    finally:
        keys.release.set()
        await asyncio.gather(*strangers, return_exceptions=True)
        await admission.stop()
