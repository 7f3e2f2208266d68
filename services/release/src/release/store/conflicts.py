"""Whether a project's caps conflict, as SQL: the same as `ProjectCap.conflict` says, for lists of events."""

from typing import Final

CONFLICT: Final = """
coalesce(
  project.apply_billing_cap and project.auto_cap_billing and (
    exists (select from budgets where budgets.project_id = project.project_id and budgets.apply_billing_cap)
    or exists (
      select from project_totals as total where total.project_id = project.project_id and total.in_own_currency
        and total.currency <> project.currency and total.released > 0))
  or exists (
    select from budget_totals as total join budgets using (project_id, budget_id)
    where total.project_id = project.project_id and budgets.apply_billing_cap and total.in_own_currency
      and total.currency <> project.currency and total.released > 0),
  false)
"""
"""An expression over a row of `projects` that is called `project`."""
