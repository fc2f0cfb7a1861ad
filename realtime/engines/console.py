"""One log for all children: each line behind its process's name, coloured on a terminal."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Literal, TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_RED = 31
_NAME_WIDTH = 9
LINE_MAX = 16_384
"""Characters of a line that are shown; a child that writes more in one line is cut."""


class Console:
    """Writes to ``stream``. With ``log_format`` json every line is one JSON object."""

    def __init__(self, stream: TextIO, log_format: Literal["text", "json"], colour: bool) -> None:
        self._stream = stream
        self._json = log_format == "json"
        self._colour = colour and not self._json
        self._colours: dict[str, int] = {}

    def line(self, process: str, text: str) -> None:
        """A line that ``process`` wrote."""
        text = text.rstrip()[:LINE_MAX]
        if not text:
            return
        if self._json:
            self._write(text if _is_object(text) else json.dumps({"process": process, "message": text}))
        else:
            self._write(f"{self._painted(process, self._colour_of(process))} {text}")

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        self.line("wayguard", text)

    def error(self, text: str) -> None:
        """What went wrong, in the supervisor's words."""
        self.line("wayguard", text if self._json else f"{self._ink('error:', _RED)} {text}")

    def plain(self, text: str) -> None:
        """A line without a name, for people: it is not part of the log."""
        self._write(text)

    def _colour_of(self, process: str) -> int:
        return self._colours.setdefault(process, _COLOURS[len(self._colours) % len(_COLOURS)])

    def _painted(self, process: str, colour: int) -> str:
        return self._ink(f"{process:<{_NAME_WIDTH}}│", colour)

    def _ink(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            # Whoever read our log has left; that must not end the system.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  kept for good
        except OSError:
            return  # the disk of the log is full: this line is lost, and the system it tells of goes on


def console(log_format: Literal["text", "json"], environ: Mapping[str, str] = os.environ) -> Console:
    """The console on standard output; NO_COLOR and FORCE_COLOR are obeyed."""
    wanted = "FORCE_COLOR" in environ or sys.stdout.isatty()
    return Console(sys.stdout, log_format, colour=wanted and "NO_COLOR" not in environ)


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
