"""Pages that name the test of every rule name tests that there are."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
DOCS = TESTS.parent / "docs"


@pytest.mark.parametrize(("page", "rows_min"), [("security.md", 13), ("rules-notifier.md", 16)])
def test_every_row_names_tests_that_are_there(page: str, rows_min: int) -> None:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.endswith("| tests |")]
    assert len(rows) >= rows_min
    missing = []
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for path, name in named:
            file = TESTS / path
            if not file.exists() or f"def {name}(" not in file.read_text(encoding="utf-8"):
                missing.append(f"{path}::{name}")
    assert missing == []
