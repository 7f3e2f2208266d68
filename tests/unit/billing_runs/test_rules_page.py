"""The page that names the test of every rule names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "rules-billing-runs.md"
FOLDERS = {
    "unit/": "unit/billing_runs/",
    "connector/": "integration/accounting_connector/",
    "faults/": "faults/",
    "contract/": "contract/",
}


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(
        r"`(unit/|connector/|faults/|contract/)?(test_\w+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8")
    )
    missing = []
    for folder, file, name in named:
        path = TESTS / FOLDERS.get(folder, "integration/billing_runs/") / file
        if f"def {name}(" not in path.read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")
    assert len(named) > 50
    assert missing == []
