"""Which language a reader wishes, by the header that browsers send. Pure."""

from collections.abc import Container
from typing import Final

from alerts.words.language import DEFAULT

MAX_HEADER_CHARS: Final = 500
"""Of an ``Accept-Language``; what is behind it is not read."""


def wished(header: str, spoken: Container[str]) -> str:
    """The language of ``spoken`` that ``header`` wishes most: the first of several, or English."""
    best, most = DEFAULT, 0.0
    for part in header[:MAX_HEADER_CHARS].split(","):
        tag, _, parameters = part.partition(";")
        language = tag.strip().replace("_", "-").split("-", 1)[0].lower()
        weight = _weight(parameters)
        if weight > most and language in spoken:
            best, most = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
