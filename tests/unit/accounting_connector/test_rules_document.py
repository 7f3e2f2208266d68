"""`docs/rules-accounting-connector.md` names tests that are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
FOLDERS = (
    "tests/unit/accounting_connector",
    "tests/integration/accounting_connector",
    "tests/integration/release",
    "tests/end_to_end",
)


def test_every_test_that_the_rules_name_is_there() -> None:
    text = (REPOSITORY / "docs/rules-accounting-connector.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = [
        path.read_text("utf-8") for folder in FOLDERS for path in (REPOSITORY / folder).rglob("test_*.py")
    ]
    there = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    assert len(named) > 80
    assert sorted(named - there) == []
