"""Validation rules over a document: which apply, what they find, and how bad it is (domain.md section 5).

Expressions are evaluated by a callable that is handed in; the sandbox is not this module's business.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from billing_runs.domain.refusals import Problem

Evaluate = Callable[[str, Mapping[str, object]], bool]
"""Evaluates an expression over a document's fields; raises ValueError where that cannot be done."""


class DocumentKind(StrEnum):
    """The kinds of document."""

    SALES_INVOICE = "sales_invoice"
    SALES_CREDIT_NOTE = "sales_credit_note"


class FailStatus(StrEnum):
    """What a document becomes by a rule that it fails."""

    REJECTED = "rejected"
    SUSPECT = "suspect"


class RuleMode(StrEnum):
    """How an expression's value is read: true passes, true fails, or false skips the rule."""

    VALIDATION = "validation"
    REJECTION = "rejection"
    CONDITION = "condition"


class Combine(StrEnum):
    """How the members of a rule set are taken together: all must pass, or one is enough."""

    AND = "and"
    OR = "or"


@dataclass(frozen=True, slots=True)
class RuleMember:
    """One expression of a rule, and how its value is read."""

    mode: RuleMode
    expression: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, or a rule set where `combine` and `children` are given.

    `kind` None: documents of both kinds. Active from `active_from` to `active_to`, both days included, None:
    no bound. The lower `priority` comes first. A rule set may have an expression of its own: it is a member
    like its children. `version` counts from 1 as the rule is saved, 0: it is not saved; rules that say the same
    are equal whatever their version.
    """

    code: str
    kind: DocumentKind | None
    priority: int
    active_from: date | None
    active_to: date | None
    fail_status: FailStatus
    mode: RuleMode
    expression: str | None
    combine: Combine | None
    children: tuple[RuleMember, ...]
    message: str
    version: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found on a document; an overridden one was accepted by a user and no longer counts.

    `version` is the rule's that found it, 0: it is not known.
    """

    rule: str
    outcome: FailStatus
    message: str
    overridden: bool = False
    version: int = 0


def rule_problems(rule: Rule) -> tuple[Problem, ...]:
    """What does not fit in a rule, each by field; empty if all is well."""
    return tuple(_rule_problems(rule))


def _rule_problems(rule: Rule) -> Iterator[Problem]:
    if rule.combine is None and rule.children:
        yield Problem("combine", "must say how the children are taken together: and, or")
    if rule.combine is not None and not rule.children:
        yield Problem("children", "a rule set has at least one child")
    if rule.expression is None and not rule.children:
        yield Problem("expression", "a rule that is no set has an expression")
    if rule.active_from is not None and rule.active_to is not None and rule.active_from > rule.active_to:
        yield Problem("active_to", "must not be before active_from")


def check_document(
    rules: Iterable[Rule],
    *,
    kind: DocumentKind,
    day: date,
    fields: Mapping[str, object],
    evaluate: Evaluate,
) -> tuple[Finding, ...]:
    """Every finding of the rules that apply to a document of this kind on this day, by priority, then code.

    A rule that cannot be evaluated on the document is a finding of that rule: nothing passes unchecked.
    """
    applying = sorted(
        (rule for rule in rules if applies(rule, kind=kind, day=day)),
        key=lambda rule: (rule.priority, rule.code),
    )
    found = (_finding(rule, fields, evaluate) for rule in applying)
    return tuple(finding for finding in found if finding is not None)


def applies(rule: Rule, *, kind: DocumentKind, day: date) -> bool:
    """Whether a rule is for this kind of document and active on this day."""
    if rule.kind is not None and rule.kind is not kind:
        return False
    if rule.active_from is not None and day < rule.active_from:
        return False
    return rule.active_to is None or day <= rule.active_to


def _finding(rule: Rule, fields: Mapping[str, object], evaluate: Evaluate) -> Finding | None:
    message = rule.message
    try:
        if _passes(rule, fields, evaluate):
            return None
    except ValueError as error:
        message = f"{rule.message} (could not be evaluated: {error})"
    return Finding(rule.code, rule.fail_status, message, version=rule.version)


def _passes(rule: Rule, fields: Mapping[str, object], evaluate: Evaluate) -> bool:
    own = () if rule.expression is None else (RuleMember(rule.mode, rule.expression),)
    members = (*own, *rule.children)
    conditions = [member for member in members if member.mode is RuleMode.CONDITION]
    if not all(evaluate(condition.expression, fields) for condition in conditions):
        return True
    tests = [member for member in members if member.mode is not RuleMode.CONDITION]
    if not tests:
        return True
    taken_together = any if rule.combine is Combine.OR else all
    return taken_together(
        evaluate(test.expression, fields) is (test.mode is RuleMode.VALIDATION) for test in tests
    )


def worst_finding(findings: Iterable[Finding]) -> Finding | None:
    """The finding that decides: the first that rejects, else the first that suspects; overridden ones left
    aside.
    """
    counting = [finding for finding in findings if not finding.overridden]
    rejecting = (finding for finding in counting if finding.outcome is FailStatus.REJECTED)
    return next(rejecting, counting[0] if counting else None)
