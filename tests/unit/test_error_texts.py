"""The texts of refusals, which people read in apps and in logs: plain words for what failed."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOUSE_WORDS = re.compile(
    r"\b(away|way out|nobody|somebody|anybody|whoever|told|afresh|anew|looked up|the store)\b", re.IGNORECASE
)


def texts() -> Iterator[tuple[str, str]]:
    """Each text of a `Refused` under realtime/ and alerts/, with the place where it is."""
    for file in [*ROOT.glob("realtime/**/*.py"), *ROOT.glob("alerts/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused":
                for part in ast.walk(ast.Tuple(node.args[1:2], ast.Load())):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{file.relative_to(ROOT)}:{node.lineno}", part.value


def test_no_text_of_a_refusal_has_a_word_of_the_house() -> None:
    found = list(texts())
    assert len(found) > 150, "the texts are found"
    assert [(place, text) for place, text in found if HOUSE_WORDS.search(text)] == []
