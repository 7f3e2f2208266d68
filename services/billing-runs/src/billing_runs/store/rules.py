"""Rules, version by version: a saved rule is a new row, so that what decided can always be seen."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from billing_runs.domain.rules import Combine, DocumentKind, FailStatus, Rule, RuleMember, RuleMode
from billing_runs.store.connection import Connection, Reader

_LATEST: Final = """
select * from rules where code = $1 and ($2::integer is null or version = $2) order by version desc limit 1
"""
_ALL: Final = "select distinct on (code) * from rules order by code, version desc"
_PAGE: Final = "select distinct on (code) * from rules where code > $1 order by code, version desc limit $2"
_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended('rule ' || $1, 0))"
_INSERT: Final = """
insert into rules (code, version, kind, priority, active_from, active_to, fail_status, mode, expression, combine,
  children, message, saved_by)
select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 from rules where code = $1
returning version
"""


async def load_rule(connection: Reader, code: str, version: int | None = None) -> Rule | None:
    """A rule in this version, None: in its newest one."""
    row = await connection.fetchrow(_LATEST, code, version)
    return _rule_of(row) if row is not None else None


async def load_rules(connection: Reader) -> list[Rule]:
    """The newest version of every rule."""
    return [_rule_of(row) for row in await connection.fetch(_ALL)]


async def list_rules(connection: Reader, *, after: str, limit: int) -> list[Rule]:
    """The newest version of each rule, by code, after this code."""
    return [_rule_of(row) for row in await connection.fetch(_PAGE, after, limit)]


async def lock_rule(connection: Connection, code: str) -> None:
    """Hold back every other transaction that saves this rule until this one ends, also where there is none yet."""
    await connection.execute(_LOCK, code)


async def insert_rule(connection: Connection, rule: Rule, saved_by: Mapping[str, Any]) -> int:
    """Add a version of a rule, which must be locked; returns which one it is."""
    version: int = await connection.fetchval(
        _INSERT,
        rule.code,
        rule.kind,
        rule.priority,
        rule.active_from,
        rule.active_to,
        rule.fail_status,
        rule.mode,
        rule.expression,
        rule.combine,
        [{"mode": child.mode.value, "expression": child.expression} for child in rule.children],
        rule.message,
        saved_by,
    )
    return version


def _rule_of(row: "asyncpg.Record") -> Rule:
    return Rule(
        code=row["code"],
        kind=DocumentKind(row["kind"]) if row["kind"] is not None else None,
        priority=row["priority"],
        active_from=row["active_from"],
        active_to=row["active_to"],
        fail_status=FailStatus(row["fail_status"]),
        mode=RuleMode(row["mode"]),
        expression=row["expression"],
        combine=Combine(row["combine"]) if row["combine"] is not None else None,
        children=tuple(RuleMember(RuleMode(each["mode"]), each["expression"]) for each in row["children"]),
        message=row["message"],
        version=row["version"],
    )
