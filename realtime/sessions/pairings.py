"""Codes that pair a driver's phone: kept hashed in Redis for ten minutes, good for one use."""

import re
from typing import Final

import msgspec
from msgspec import Struct

from alerts.replies.tokens import cut
from realtime.link_tokens import new_token
from realtime.redis.client import Client
from realtime.sessions.calls import bounded
from realtime.sessions.keys import pairing_key

TTL_S: Final = 600
_CODE_BYTES: Final = 24
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)


class Pairing(Struct, frozen=True):
    """Whose token a code is good for, what that will be called (``jti``), and who said so."""

    tenant: str
    vendor: str
    driver: str
    jti: str
    by: str
    by_jti: str | None


class Pairings:
    """Hands codes out and takes them back once. Everything raises Refused(unavailable) with Redis away."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def offer(self, pairing: Pairing) -> str:
        """A new code that is good for ``pairing``."""
        code = new_token(_CODE_BYTES)
        encoded = msgspec.json.encode(pairing)
        await bounded(lambda: self._client.set(pairing_key(code), encoded, ex=TTL_S), self._timeout_s)
        return code

    async def look(self, code: str) -> Pairing | None:
        """What ``code`` is good for; it stays so. What stands behind a code is cut."""
        code = cut(code)
        if not _CODE.fullmatch(code):
            return None
        return _pairing(await bounded(lambda: self._client.get(pairing_key(code)), self._timeout_s))

    async def take(self, code: str) -> Pairing | None:
        """What ``code`` is good for, and from now on is not: of any number who come at once one has it."""
        code = cut(code)
        if not _CODE.fullmatch(code):
            return None
        return _pairing(await bounded(lambda: self._client.getdel(pairing_key(code)), self._timeout_s))


def _pairing(raw: bytes | None) -> Pairing | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=Pairing)
    except msgspec.MsgspecError:
        return None
