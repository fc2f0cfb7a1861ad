"""How long one request may take, and how much of its answer is made at a time."""

from dataclasses import dataclass
from typing import Final

from realtime.http.bodies import BODY_TIMEOUT_S

REQUEST_TIMEOUT_S: Final = 30.0
"""What one request may take at most, streamed answers excepted: they are bounded page by page."""

STREAM_PAGE: Final = 500
"""Points read, written and forgotten at a time; few enough that the event loop is never held for long."""

WRITE_TIMEOUT_S: Final = 30.0
"""A client that takes nothing for this long is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of each request; the defaults are those of production."""

    request_timeout_s: float = REQUEST_TIMEOUT_S
    body_timeout_s: float = BODY_TIMEOUT_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    stream_page_points: int = STREAM_PAGE


REQUEST_LIMITS: Final = RequestLimits()
"""Those of production."""
