"""docs/ATTACKS.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def test_every_test_that_the_page_of_attacks_names_is_there() -> None:
    rows = [
        line
        for line in (ROOT / "docs/ATTACKS.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| attack")
    ]
    assert len(rows) > 20
    for row in rows:
        named = NAMED.findall(row)
        assert named, f"no test is named: {row[:60]}"
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
