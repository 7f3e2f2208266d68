"""The caps of projects: locked, read, and the released totals that a release or a revert changes.

Whoever releases, reverts or changes bookings holds the project's row, so that check and ledger entry are one
transaction, one after the other for each project (domain.md section 3, Never over).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import asyncpg

from release.domain.cap_state import BudgetCap, ProjectCap
from release.domain.ledger import LedgerEntry
from release.domain.tolerance import Tolerance, tolerance_of
from release.store.connection import Connection, Reader
from shared.money import ZERO, exact_sum

_COLUMNS: Final = """
select project_id, currency, bookings, apply_billing_cap, auto_cap_billing, bill_to_budget_cap, on_hold,
  alert_threshold, alert_recipient, account_id
from projects
"""
_PROJECTS: Final = f"{_COLUMNS} where project_id = any($1::text[])"
_LOCK_PROJECTS: Final = f"{_PROJECTS} order by project_id for no key update"
_LOCK_PROJECTS_OF_EVENTS: Final = (
    f"{_COLUMNS} where project_id in"  # noqa: S608 - the parts are SQL of ours
    " (select project_id from billing_events where billing_event_id = any($1::text[]))"
    " order by project_id for no key update"
)
_BUDGETS: Final = """
select project_id, budget_id, amount, apply_billing_cap from budgets
where project_id = any($1::text[]) order by project_id, budget_id
"""
_TOTALS: Final = """
select project_id, null as budget_id, currency, released, false as is_reserved, in_own_currency
from project_totals where project_id = any($1::text[])
union all
select project_id, budget_id, currency, released, false, in_own_currency
from budget_totals where project_id = any($1::text[])
union all
select project_id, budget_id, currency, sum(amount), true, false from cap_reservations
where project_id = any($1::text[])
group by project_id, budget_id, currency
"""
_TOLERANCES: Final = """
select account_id, cap_tolerance_amount, cap_tolerance_currency from accounts
where account_id = any($1::text[]) and cap_tolerance_amount is not null
"""
_RATES: Final = """
select from_currency, to_currency, rate from exchange_rates
where from_currency = any($1::text[]) and to_currency = any($2::text[])
"""
# The total is added to where it stands, and what an enforced cap allows is written beside it: the schema refuses what
# a decision on stale figures would let through. What was above it already (bookings were lowered) may stay. Not an
# upsert: its row would be checked by itself before it is added, and a release may be more than the whole cap where
# credits came before it. The project's lock keeps others from inserting meanwhile.
_ADD_TO_PROJECTS: Final = """
with added as (
  select * from unnest($1::text[], $2::text[], $3::numeric[], $4::numeric[], $5::boolean[])
    as added (project_id, currency, amount, allowed, is_own)
),
known as (
  update project_totals as total set
    released = total.released + amount, in_own_currency = total.in_own_currency or is_own,
    ceiling = case when allowed is not null then greatest(allowed, 0, total.released) end
  from added where total.project_id = added.project_id and total.currency = added.currency
  returning total.project_id, total.currency
)
insert into project_totals (project_id, currency, released, in_own_currency, ceiling)
select project_id, currency, amount, is_own, case when allowed is not null then greatest(allowed, 0) end
from added where (project_id, currency) not in (select project_id, currency from known)
order by project_id, currency
"""
_ADD_TO_BUDGETS: Final = """
with added as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[], $6::boolean[])
    as added (project_id, budget_id, currency, amount, allowed, is_own)
),
known as (
  update budget_totals as total set
    released = total.released + amount, in_own_currency = total.in_own_currency or is_own,
    ceiling = case when allowed is not null then greatest(allowed, 0, total.released) end
  from added
  where total.project_id = added.project_id and total.budget_id = added.budget_id
    and total.currency = added.currency
  returning total.project_id, total.budget_id, total.currency
)
insert into budget_totals (project_id, budget_id, currency, released, in_own_currency, ceiling)
select project_id, budget_id, currency, amount, is_own, case when allowed is not null then greatest(allowed, 0) end
from added where (project_id, budget_id, currency) not in (select project_id, budget_id, currency from known)
order by project_id, budget_id, currency
"""


async def lock_caps(connection: Connection, project_ids: Iterable[str]) -> dict[str, ProjectCap]:
    """Lock the projects with these ids `for no key update`, in the order of their ids, and read their caps.

    Keyed by project; projects that are not known are left out. Locked before any billing event.
    """
    rows = await connection.fetch(_LOCK_PROJECTS, sorted(set(project_ids)))
    return await _with_budgets_and_totals(connection, rows)


async def lock_caps_of_events(
    connection: Connection, billing_event_ids: Sequence[str], *, with_removed_budgets: bool = False
) -> dict[str, ProjectCap]:
    """The same for the projects of the events with these ids.

    With removed budgets, those that something was released on and that their project no longer has are there as
    uncapped ones, so that a revert can give back to them.
    """
    rows = await connection.fetch(_LOCK_PROJECTS_OF_EVENTS, billing_event_ids)
    return await _with_budgets_and_totals(connection, rows, with_removed_budgets=with_removed_budgets)


async def load_caps(connection: Reader, project_ids: Iterable[str]) -> dict[str, ProjectCap]:
    """The caps of the projects with these ids, by project, without locking; those that are not known are left out."""
    rows = await connection.fetch(_PROJECTS, sorted(set(project_ids)))
    return await _with_budgets_and_totals(connection, rows)


async def _with_budgets_and_totals(
    connection: Reader, projects: Sequence["asyncpg.Record"], *, with_removed_budgets: bool = False
) -> dict[str, ProjectCap]:
    if not projects:
        return {}
    project_ids = [row["project_id"] for row in projects]
    totals: dict[tuple[str, str | None], dict[str, Decimal]] = {}
    reserved: dict[tuple[str, str | None], dict[str, Decimal]] = {}
    own: dict[tuple[str, str | None], set[str]] = {}
    for row in await connection.fetch(_TOTALS, project_ids):
        kind = reserved if row["is_reserved"] else totals
        of = (row["project_id"], row["budget_id"])
        kind.setdefault(of, {})[row["currency"]] = row["released"]
        if row["in_own_currency"]:
            own.setdefault(of, set()).add(row["currency"])
    budget_rows = await connection.fetch(_BUDGETS, project_ids)
    with_budgets = {row["project_id"] for row in budget_rows}
    tolerances = await _tolerances(connection, [row for row in projects if row["project_id"] in with_budgets])
    budgets: dict[str, dict[str, BudgetCap]] = {project_id: {} for project_id in project_ids}
    for row in budget_rows:
        project_id, budget_id = row["project_id"], row["budget_id"]
        budgets[project_id][budget_id] = BudgetCap(
            budget_id,
            row["amount"],
            row["apply_billing_cap"],
            totals.get((project_id, budget_id), {}),
            tolerances[project_id],
            reserved=reserved.get((project_id, budget_id), {}),
            own_currencies=frozenset(own.get((project_id, budget_id), ())),
        )
    if with_removed_budgets:
        for (project_id, budget_id), released in totals.items():
            if budget_id is not None and budget_id not in budgets[project_id]:
                budgets[project_id][budget_id] = BudgetCap(budget_id, ZERO, False, released)
    return {
        row["project_id"]: _cap_of(
            row,
            totals.get((row["project_id"], None), {}),
            reserved.get((row["project_id"], None), {}),
            budgets[row["project_id"]],
            frozenset(own.get((row["project_id"], None), ())),
        )
        for row in projects
    }


def _cap_of(
    row: "asyncpg.Record",
    released: Mapping[str, Decimal],
    reserved: Mapping[str, Decimal],
    budgets: Mapping[str, BudgetCap],
    own_currencies: frozenset[str],
) -> ProjectCap:
    return ProjectCap(
        project_id=row["project_id"],
        currency=row["currency"],
        bookings=ZERO if row["bookings"] is None else row["bookings"],
        apply_billing_cap=row["apply_billing_cap"],
        auto_cap_billing=row["auto_cap_billing"],
        bill_to_budget_cap=row["bill_to_budget_cap"],
        on_hold=row["on_hold"],
        alert_threshold=row["alert_threshold"],
        alert_recipient=row["alert_recipient"],
        released=released,
        budgets=budgets,
        reserved=reserved,
        own_currencies=own_currencies,
    )


async def _tolerances(connection: Reader, projects: Sequence["asyncpg.Record"]) -> dict[str, Tolerance]:
    """The tolerance on the budgets of each of these projects: its account's, in the project's currency."""
    if not projects:
        return {}
    account_ids = [row["account_id"] for row in projects if row["account_id"] is not None]
    known = {
        row["account_id"]: (row["cap_tolerance_amount"], row["cap_tolerance_currency"])
        for row in (await connection.fetch(_TOLERANCES, account_ids) if account_ids else ())
    }
    pairs = {
        (known[row["account_id"]][1], row["currency"])
        for row in projects
        if row["account_id"] in known and known[row["account_id"]][1] != row["currency"]
    }
    rates: dict[tuple[str, str], Decimal] = {}
    if pairs:
        sources, targets = zip(*pairs, strict=True)
        for row in await connection.fetch(_RATES, list(sources), list(targets)):
            rates[row["from_currency"], row["to_currency"]] = row["rate"]
    return {
        row["project_id"]: tolerance_of(known.get(row["account_id"]), row["currency"], rates)
        for row in projects
    }


async def add_released(
    connection: Connection, entries: Iterable[LedgerEntry], caps: Mapping[str, ProjectCap]
) -> None:
    """Add what was released to the totals of projects and budgets, each within what its enforced cap allows.

    The projects must be locked; `caps` holds each of them. Raises asyncpg.CheckViolationError where a total would pass
    its cap, whatever was decided.
    """
    await _add(connection, entries, caps)


async def give_back(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    """Add what reverts gave back, which is negative but for credits, to the totals; the projects must be locked.

    Undoing a credit that the books have mirrored cannot be refused any more, so no ceiling is set; its room was kept
    free meanwhile (`cap_reservations`).
    """
    await _add(connection, entries, {})


async def _add(
    connection: Connection, entries: Iterable[LedgerEntry], caps: Mapping[str, ProjectCap]
) -> None:
    sums: dict[tuple[str, str | None, str], list[Decimal]] = {}
    for entry in entries:
        sums.setdefault((entry.project_id, entry.budget_id, entry.currency), []).append(entry.amount)
    projects: list[tuple[str, str, Decimal, Decimal | None, bool]] = []
    budgets: list[tuple[str, str, str, Decimal, Decimal | None, bool]] = []
    for (project_id, budget_id, currency), amounts in sums.items():
        cap = caps.get(project_id)
        allowed = _allowed(cap, budget_id, currency)
        is_own = cap is not None and cap.currency == currency
        if budget_id is None:
            projects.append((project_id, currency, exact_sum(amounts), allowed, is_own))
        else:
            budgets.append((project_id, budget_id, currency, exact_sum(amounts), allowed, is_own))
    if projects:
        await connection.execute(_ADD_TO_PROJECTS, *map(list, zip(*projects, strict=True)))
    if budgets:
        await connection.execute(_ADD_TO_BUDGETS, *map(list, zip(*budgets, strict=True)))


def _allowed(cap: ProjectCap | None, budget_id: str | None, currency: str) -> Decimal | None:
    """What the total may come to; None where nothing is enforced in this currency."""
    if cap is None or currency != cap.currency:
        return None
    if budget_id is None:
        return cap.bookings - cap.reserved_amount if cap.enforced else None
    budget = cap.budgets[budget_id]
    if not budget.apply_billing_cap:
        return None
    return budget.amount + budget.tolerance.amount - budget.reserved.get(currency, ZERO)
