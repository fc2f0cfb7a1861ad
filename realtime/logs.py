"""Log lines: text for people, JSON for machines. No secret and no coordinate ever goes into one.

A link that a program has changed has its secret in the path, where a library may log it: `masked` is applied
to every line.
"""

import json
import logging
import re
import sys
import time
from typing import Final

from realtime.settings import Settings

_LINK: Final = re.compile(
    r"(?P<page>(?:https?://[^\s/\"'<>]+|(?<![\w.~%/-]))/+(?:a|s|drive|console)(?![A-Za-z0-9_.-])"
    r"|%(?:25)*2F(?:a|s|drive|console)(?=%))[^\s\"'<>]+",
    re.IGNORECASE,
)
"""A link to a page, and what follows its path: a token in whatever form a program has made of the link."""


def masked(text: str) -> str:
    """``text`` without what follows ``/a``, ``/s``, ``/drive`` and ``/console`` in it."""
    return _LINK.sub(r"\g<page>…", text)


class TextLines(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """As the format says, links masked."""
        return masked(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"at", "level", "logger", "message", "error"?}``."""
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(settings: Settings) -> None:
    """Log to standard error as ``settings.log_format`` says."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(TextLines("%(levelname).1s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("engineio", "socketio", "aiohttp.access", "aiohttp.server", "httpx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
