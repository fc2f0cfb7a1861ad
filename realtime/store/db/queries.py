"""Loads named queries from ``sql/*.sql``: each begins with a line ``-- name: what_it_is``."""

import re
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "sql"
_NAME = re.compile(r"^-- name: (\w+)[ \t]*\n", re.MULTILINE)


def load(name: str) -> dict[str, str]:
    """The queries of ``sql/{name}.sql`` by name. Raises ValueError when one is empty or named twice."""
    text = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    queries: dict[str, str] = {}
    for key, body in zip(parts[::2], parts[1::2], strict=True):
        if key in queries or not body.strip():
            raise ValueError(f"{name}.sql: query {key} is empty or named twice")
        queries[key] = body.strip()
    return queries
