"""Validation rules over HTTP (contract.md section 2, PUT /rules/{code})."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request, Response
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
from billing_runs.handlers.judging import FIELD_NAMES
from billing_runs.handlers.rule_tests import find, stored_documents
from billing_runs.store import rules
from billing_runs.store.run_documents import finding_bodies
from shared.contracts.base import MESSAGE_IDS_MAX, Closed, Date, Description, Id, field_error
from shared.contracts.document import Document
from shared.contracts.selections import DocumentKind as DocumentKindName
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.expressions import ExpressionError, compile_expression
from shared.http.authorization import require
from shared.http.idempotency import Answer, answer_once
from shared.http.pages import PageRequest, page_response, pages_by
from shared.http.problems import FieldError, not_found, validation_failed
from shared.http.tokens import Principal

Reads = Annotated[Principal, require("billing-runs:read")]
Saves = Annotated[Principal, require("settings:write")]
ModeName = Literal["validation", "rejection", "condition"]
CHILDREN_MAX = 100
VERSION_MAX = 2**31 - 1


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
    """What a rule is tried on: one or many documents of runs, or any document in the form of the facts."""

    document_id: Id | None = None
    document_ids: list[Id] | None = Field(default=None, min_length=1, max_length=MESSAGE_IDS_MAX)
    document: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.document_id, self.document_ids, self.document)) != 1:
            raise field_error(
                ("document_id",), "selection", "should be given, or document_ids, or document, and only one"
            )
        return self


def rules_router(database: Database) -> APIRouter:
    """The calls on rules."""
    router = APIRouter(prefix="/rules", tags=["rules"])

    @router.get("", summary="Rules, by code")
    async def list_all(principal: Reads, page: Annotated[PageRequest, pages_by(str)]) -> dict[str, Any]:
        after: Any = page.after[0] if page.after is not None else ""
        found = await rules.list_rules(database.pool, after=after, limit=page.limit + 1)
        shown, cursor = page.cut(found, lambda each: (each.code,))
        return page_response([rule_shape(each) for each in shown], cursor)

    @router.get("/{code}", summary="A rule")
    async def read(
        principal: Reads,
        code: Id,
        version: Annotated[
            int | None, Query(ge=1, le=VERSION_MAX, description="the newest if not given")
        ] = None,
    ) -> dict[str, Any]:
        return rule_shape(await _known(database, code, version))

    @router.put("/{code}", summary="Save a rule; runs use it from now on")
    async def save(request: Request, principal: Saves, code: Id, body: RuleBody) -> Response:
        rule = _rule_of(code, body)

        async def action(work: UnitOfWork) -> Answer:
            await rules.lock_rule(work.connection, code)
            known = await rules.load_rule(work.connection, code)
            if known == rule:
                return Answer(200, rule_shape(known))
            version = await rules.insert_rule(work.connection, rule, starter_of_principal(principal))
            return Answer(200, rule_shape(replace(rule, version=version)))

        return await answer_once(database, request, principal, action)

    @router.post("/{code}/test", summary="What a rule finds on documents; nothing is changed")
    async def test(principal: Reads, code: Id, body: RuleTestBody) -> dict[str, Any]:
        """One document is answered by what the rule finds on it, a list of them by `results`, one for each."""
        rule = await _known(database, code)
        if body.document is not None:
            return _found(rule, _given_document(body.document))
        asked = body.document_ids if body.document_ids is not None else [str(body.document_id)]
        documents = await stored_documents(database.pool, asked)
        if unknown := [each for each in asked if each not in documents]:
            raise not_found(f"There is no document {unknown[0]} in a billing run.")
        if body.document_ids is None:
            return _found(rule, documents[asked[0]])
        return {"results": [{"document_id": each, **_found(rule, documents[each])} for each in asked]}

    return router


def _found(rule: Rule, document: Document) -> dict[str, Any]:
    findings = find(rule, document)
    day = document.date
    return {
        "applies": day is None or applies(rule, kind=DocumentKind(document.kind), day=day),
        "passed": not findings,
        "findings": finding_bodies(findings),
    }


async def _known(database: Database, code: str, version: int | None = None) -> Rule:
    known = await rules.load_rule(database.pool, code, version)
    if known is None:
        raise not_found()
    return known


def _given_document(body: Mapping[str, JsonValue]) -> Document:
    try:
        return Document.model_validate(body)
    except ValidationError as error:
        raise validation_failed(
            [
                FieldError(".".join(["document", *map(str, each["loc"])]), each["msg"])
                for each in error.errors()
            ]
        ) from None


def _rule_of(code: str, body: RuleBody) -> Rule:
    """The rule. Raises Problem 422 for parts that do not fit, and for expressions that cannot be evaluated."""
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
    errors += [FieldError(field, wrong) for field, text in expressions for wrong in _wrong_in(text)]
    if errors:
        raise validation_failed(errors)
    return rule


def _wrong_in(expression: str) -> list[str]:
    """What is wrong with an expression: it is not allowed, or names what no document has, so that all would fail it."""
    try:
        names = compile_expression(expression).names
    except ExpressionError as error:
        return [str(error)]
    return [f"a document has no field {name!r}" for name in sorted(names.difference(FIELD_NAMES))]
