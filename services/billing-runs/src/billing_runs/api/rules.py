"""Validation rules over HTTP (contract.md section 2, PUT /rules/{code})."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, JsonValue, ValidationError, model_validator

from billing_runs.api.reading import starter_of_principal
from billing_runs.api.shapes import rule_shape
from billing_runs.domain.rules import (
    Combine,
    DocumentKind,
    FailStatus,
    Rule,
    RuleMember,
    RuleMode,
    applies,
    rule_problems,
)
from billing_runs.handlers.rule_tests import find, stored_document
from billing_runs.store import rules
from billing_runs.store.run_documents import finding_bodies
from shared.contracts.base import Closed, Date, Description, Id, field_error
from shared.contracts.document import Document
from shared.contracts.selections import DocumentKind as DocumentKindName
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.expressions import ExpressionError, compile_expression
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.problems import FieldError, not_found, validation_failed
from shared.http.tokens import Principal

Reads = Annotated[Principal, require("billing-runs:read")]
Saves = Annotated[Principal, require("settings:write")]
ModeName = Literal["validation", "rejection", "condition"]
CHILDREN_MAX = 100


class RuleMemberBody(Closed):
    """One expression of a rule set."""

    mode: ModeName
    expression: Description


class RuleBody(Closed):
    """A rule, or a rule set where `combine` and `children` are given; `code` and `version`, as read, are ignored."""

    code: Id | None = None
    version: int | None = None
    kind: DocumentKindName | None = None
    priority: Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)] = 0
    active_from: Date | None = None
    active_to: Date | None = None
    fail_status: Literal["rejected", "suspect"]
    mode: ModeName = "validation"
    expression: Description | None = None
    combine: Literal["and", "or"] | None = None
    children: list[RuleMemberBody] = Field(default_factory=list, max_length=CHILDREN_MAX)
    message: Description = ""


class RuleTestBody(Closed):
    """The document on which a rule is tried: one of a run, or any document in the form of the facts."""

    document_id: Id | None = None
    document: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.document_id is None) == (self.document is None):
            raise field_error(("document_id",), "selection", "should be given, or document, and not both")
        return self


def rules_router(database: Database) -> APIRouter:
    """The calls on rules."""
    router = APIRouter(prefix="/rules", tags=["rules"])

    @router.get("/{code}", summary="A rule")
    async def read(principal: Reads, code: Id) -> dict[str, Any]:
        return rule_shape(*await _known(database, code))

    @router.put("/{code}", summary="Save a rule; runs use it from now on")
    async def save(request: Request, principal: Saves, code: Id, body: RuleBody) -> Response:
        rule = _rule_of(code, body)

        async def action(work: UnitOfWork) -> Answer:
            await rules.lock_rule(work.connection, code)
            known = await rules.load_rule(work.connection, code)
            if known is not None and known[0] == rule:
                return Answer(200, rule_shape(*known))
            version = await rules.insert_rule(work.connection, rule, starter_of_principal(principal))
            return Answer(200, rule_shape(rule, version))

        return await answer_once(database, request, principal, action)

    @router.post("/{code}/test", summary="What a rule finds on a document; nothing is changed")
    async def test(principal: Reads, code: Id, body: RuleTestBody) -> dict[str, Any]:
        rule, _ = await _known(database, code)
        document = await _document(database, body)
        findings = find(rule, document)
        day = document.date
        return {
            "applies": day is None or applies(rule, kind=DocumentKind(document.kind), day=day),
            "passed": not findings,
            "findings": finding_bodies(findings),
        }

    return router


async def _known(database: Database, code: str) -> tuple[Rule, int]:
    known = await rules.load_rule(database.pool, code)
    if known is None:
        raise not_found()
    return known


async def _document(database: Database, body: RuleTestBody) -> Document:
    if body.document_id is not None:
        document = await stored_document(database.pool, body.document_id)
        if document is None:
            raise not_found("There is no such document in a billing run.")
        return document
    try:
        return Document.model_validate(body.document)
    except ValidationError as error:
        raise validation_failed(
            [
                FieldError(".".join(["document", *map(str, each["loc"])]), each["msg"])
                for each in error.errors()
            ]
        ) from None


def _rule_of(code: str, body: RuleBody) -> Rule:
    """The rule. Raises Problem 422 for parts that do not fit, and for expressions that are not allowed."""
    rule = Rule(
        code=code,
        kind=DocumentKind(body.kind) if body.kind is not None else None,
        priority=body.priority,
        active_from=body.active_from,
        active_to=body.active_to,
        fail_status=FailStatus(body.fail_status),
        mode=RuleMode(body.mode),
        expression=body.expression,
        combine=Combine(body.combine) if body.combine is not None else None,
        children=tuple(RuleMember(RuleMode(each.mode), each.expression) for each in body.children),
        message=body.message,
    )
    errors = [FieldError(problem.field, problem.message) for problem in rule_problems(rule)]
    expressions = [("expression", rule.expression)] if rule.expression is not None else []
    expressions += [
        (f"children[{place}].expression", child.expression) for place, child in enumerate(rule.children)
    ]
    for field, text in expressions:
        try:
            compile_expression(text)
        except ExpressionError as error:
            errors.append(FieldError(field, str(error)))
    if errors:
        raise validation_failed(errors)
    return rule
