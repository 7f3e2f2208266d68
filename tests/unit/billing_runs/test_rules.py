"""Validation rules: which apply, how their modes and sets read, and what they find (domain.md section 5)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest

from billing_runs.domain.refusals import Problem
from billing_runs.domain.rules import (
    Combine,
    DocumentKind,
    FailStatus,
    Finding,
    Rule,
    RuleMember,
    RuleMode,
    applies,
    check_document,
    rule_problems,
    worst_finding,
)

DAY = date(2026, 11, 30)
INVOICE = DocumentKind.SALES_INVOICE
VALIDATION, REJECTION, CONDITION = RuleMode.VALIDATION, RuleMode.REJECTION, RuleMode.CONDITION

RULE = Rule(
    code="LIMIT",
    kind=None,
    priority=10,
    active_from=None,
    active_to=None,
    fail_status=FailStatus.REJECTED,
    mode=VALIDATION,
    expression="yes",
    combine=None,
    children=(),
    message="over the limit",
)


def _evaluate(expression: str, fields: Mapping[str, object]) -> bool:
    """Expressions of these tests are names of fields; a field that is not there cannot be evaluated."""
    if expression not in fields:
        raise ValueError(f"there is no field {expression!r}")
    return bool(fields[expression])


def _check(*rules: Rule) -> tuple[Finding, ...]:
    return check_document(rules, kind=INVOICE, day=DAY, fields={"yes": True, "no": False}, evaluate=_evaluate)


@pytest.mark.parametrize(
    "mode, expression, passes",
    [
        (VALIDATION, "yes", True),
        (VALIDATION, "no", False),
        (REJECTION, "yes", False),
        (REJECTION, "no", True),
        (CONDITION, "yes", True),
        (CONDITION, "no", True),
    ],
)
def test_how_each_mode_reads_its_expression(mode: RuleMode, expression: str, passes: bool) -> None:
    found = _check(replace(RULE, mode=mode, expression=expression))

    assert found == (() if passes else (Finding("LIMIT", FailStatus.REJECTED, "over the limit"),))


def _set(combine: Combine, *children: tuple[RuleMode, str], own: tuple[RuleMode, str] | None = None) -> Rule:
    mode, expression = own or (VALIDATION, None)
    members = tuple(RuleMember(*child) for child in children)
    return replace(RULE, mode=mode, expression=expression, combine=combine, children=members)


@pytest.mark.parametrize(
    "rule, passes",
    [
        (_set(Combine.AND, (VALIDATION, "yes"), (REJECTION, "no")), True),
        (_set(Combine.AND, (VALIDATION, "yes"), (REJECTION, "yes")), False),
        (_set(Combine.OR, (VALIDATION, "no"), (REJECTION, "no")), True),
        (_set(Combine.OR, (VALIDATION, "no"), (REJECTION, "yes")), False),
        (_set(Combine.AND, (VALIDATION, "yes"), own=(VALIDATION, "no")), False),
        (_set(Combine.OR, (VALIDATION, "no"), own=(VALIDATION, "yes")), True),
        (_set(Combine.AND, (VALIDATION, "no"), (CONDITION, "no")), True),
        (_set(Combine.OR, (VALIDATION, "no"), (CONDITION, "yes")), False),
        (_set(Combine.OR, (VALIDATION, "no"), own=(CONDITION, "no")), True),
        (_set(Combine.AND, (VALIDATION, "no"), own=(CONDITION, "yes")), False),
    ],
)
def test_how_the_members_of_a_rule_set_are_taken_together(rule: Rule, passes: bool) -> None:
    assert (not _check(rule)) is passes


def test_every_finding_is_kept_in_order_of_priority_then_code() -> None:
    failing = replace(RULE, expression="no")
    found = _check(
        replace(failing, code="C", priority=20),
        replace(failing, code="B", priority=20),
        replace(failing, code="PASSES", expression="yes"),
        replace(failing, code="Z", priority=1),
    )

    assert [finding.rule for finding in found] == ["Z", "B", "C"]


def test_rule_that_cannot_be_evaluated_is_a_finding() -> None:
    for mode in RuleMode:
        (finding,) = _check(replace(RULE, mode=mode, expression="colour", fail_status=FailStatus.SUSPECT))

        assert finding.outcome is FailStatus.SUSPECT
        assert finding.message == "over the limit (could not be evaluated: there is no field 'colour')"


@pytest.mark.parametrize(
    "kind, active_from, active_to, expected",
    [
        (None, None, None, True),
        (INVOICE, None, None, True),
        (DocumentKind.SALES_CREDIT_NOTE, None, None, False),
        (None, DAY, DAY, True),
        (None, DAY + timedelta(days=1), None, False),
        (None, None, DAY - timedelta(days=1), False),
    ],
)
def test_rule_applies_to_its_kind_on_its_days_both_ends_included(
    kind: DocumentKind | None, active_from: date | None, active_to: date | None, expected: bool
) -> None:
    rule = replace(RULE, kind=kind, active_from=active_from, active_to=active_to, expression="no")

    assert applies(rule, kind=INVOICE, day=DAY) is expected
    assert bool(_check(rule)) is expected


def test_worst_finding_leaves_overridden_ones_aside() -> None:
    odd = Finding("ODD", FailStatus.SUSPECT, "odd")
    wrong = Finding("WRONG", FailStatus.REJECTED, "wrong")

    assert worst_finding((odd, wrong)) == wrong
    assert worst_finding((odd, replace(wrong, overridden=True))) == odd
    assert worst_finding((replace(wrong, overridden=True),)) is None


@pytest.mark.parametrize(
    "rule, fields",
    [
        (RULE, []),
        (_set(Combine.AND, (VALIDATION, "yes")), []),
        (replace(RULE, expression=None), ["expression"]),
        (replace(RULE, combine=Combine.OR), ["children"]),
        (replace(RULE, children=(RuleMember(VALIDATION, "yes"),)), ["combine"]),
        (replace(RULE, active_from=DAY, active_to=DAY - timedelta(days=1)), ["active_to"]),
    ],
)
def test_what_does_not_fit_in_a_rule_is_told_by_field(rule: Rule, fields: list[str]) -> None:
    problems = rule_problems(rule)

    assert all(isinstance(problem, Problem) and problem.message for problem in problems)
    assert [problem.field for problem in problems] == fields
