"""docs/rules.md names tests and vectors that exist, for every rule at least one."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
TABLE = TESTS.parent / "docs" / "rules.md"
ROWS = [
    line for line in TABLE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| rule")
]


@cache
def functions(path: str) -> frozenset[str]:
    """The names of a file's tests."""
    tree = ast.parse((TESTS / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


@cache
def vector_names(name: str) -> frozenset[str]:
    """The names of a vector file's cases."""
    return frozenset(case["name"] for case in json.loads((TESTS / "vectors" / name).read_text())["cases"])


def exists(reference: str) -> bool:
    if "::" in reference:
        path, _, name = reference.partition("::")
        return name.startswith("test_") and name in functions(path)
    file, _, case = reference.partition(": ")
    return case in vector_names(file)


def test_table_has_a_row_for_each_of_many_rules() -> None:
    assert len(ROWS) > 80
    assert len({row.split(" | ")[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_rule_names_tests_that_exist(row: str) -> None:
    references = re.findall(r"`([^`]+)`", row.removesuffix(" |").rsplit(" | ", 1)[1])
    assert references
    assert [reference for reference in references if not exists(reference)] == []
