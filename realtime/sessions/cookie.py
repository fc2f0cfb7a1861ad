"""The cookie a session lives in: what it is called, how it is set, how it is read. No I/O.

Script cannot read it (``HttpOnly``), no other site can have it sent (``SameSite=Strict``), and over https it
is bound to this very host (``Secure``, ``__Host-``), so that no sister domain can plant one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from realtime.protocol import Code, Refused

NAME: Final = "wayguard_session"
_GONE: Final = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The cookie of a server that is reached by https, or not."""

    secure: bool

    @classmethod
    def at(cls, public_url: str) -> "SessionCookie":
        """That of the server at ``public_url``."""
        return cls(public_url.lower().startswith("https:"))

    @property
    def name(self) -> str:
        """What it is called; one of another name is nobody's session."""
        return f"__Host-{NAME}" if self.secure else NAME

    def given(self, headers: Iterable[str]) -> str | None:
        """Its value in ``Cookie`` headers, None when it is not there.

        Raises Refused(unauthenticated) when it is there twice: one of the two was planted.
        """
        pairs = (part.partition("=") for header in headers for part in header.split(";"))
        values = [value.strip() for name, _, value in pairs if name.strip() == self.name]
        if len(values) > 1:
            raise Refused(Code.UNAUTHENTICATED, "more than one session cookie")
        return values[0] if values else None

    def setting(self, value: str, seconds: int) -> str:
        """``Set-Cookie`` that keeps ``value`` for so long."""
        return f"{self.name}={value}; Max-Age={seconds}; {self._bounds}"

    def clearing(self) -> str:
        """``Set-Cookie`` that takes it away."""
        return f"{self.name}=; {_GONE}; {self._bounds}"

    @property
    def _bounds(self) -> str:
        return f"Path=/; HttpOnly; SameSite=Strict{'; Secure' if self.secure else ''}"
