"""Finds in the SQL of a migration what reads a table with rows while its writers wait. By its text alone."""

import re
from typing import Final

_QUOTED: Final = re.compile(r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'", re.DOTALL)
_TABLE: Final = r"(?:if (?:not )?exists )?(?:only )?(?:public\.)?\"?(\w+)"
_MADE: Final = re.compile(rf"create (?:unlogged )?table {_TABLE}")
_INDEX: Final = re.compile(rf"create (?:unique )?index (?!concurrently\b).*?\bon {_TABLE}")
_ALTERED: Final = re.compile(rf"alter table {_TABLE}\W+(.*)")
_CLAUSES: Final = (
    ("foreign key", re.compile(r"add\b.*\b(?:foreign key|references)\b"), "not valid"),
    ("check", re.compile(r"add\b(?!.*\b(?:foreign key|references)\b).*\bcheck\b"), "not valid"),
    ("index", re.compile(r"add\b.*\b(?:primary key|unique)\b"), "using index"),
    ("not null", re.compile(r"alter\b.*\bset not null\b"), None),
    ("type", re.compile(r"alter\b.*\btype\b"), None),
)


def blocking_statements(sql: str) -> list[str]:
    """Each as its sort and its table; tables that ``sql`` itself makes have no rows and are left out."""
    plain = _QUOTED.sub(" ", sql).lower()
    statements = [" ".join(one.split()) for one in plain.split(";")]
    made = {match[1] for one in statements if (match := _MADE.match(one))}
    found: list[str] = []
    for one in statements:
        if (match := _INDEX.match(one)) and match[1] not in made:
            found.append(f"index {match[1]}")
        if (match := _ALTERED.match(one)) and match[1] not in made:
            for clause in _clauses(match[2]):
                found += [
                    f"{sort} {match[1]}"
                    for sort, pattern, harmless in _CLAUSES
                    if pattern.match(clause) and (harmless is None or harmless not in clause)
                ]
    return found


def _clauses(text: str) -> list[str]:
    """The actions of an ALTER TABLE: split at the commas that are in no bracket."""
    depth, parts = 0, [""]
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]
