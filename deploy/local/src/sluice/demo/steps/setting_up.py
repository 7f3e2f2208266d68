"""What finance sets before anything is billed: tax rules of each company, and a rule for the review."""

from typing import Any, Final

from sluice.client import CallError
from sluice.demo.context import Demo

RULE_CODE: Final = "demo-large-invoice"
LARGEST_TOTAL: Final = 10_000
ADDITIONAL_RECIPIENT: Final = "finance@example.com"


async def set_up(demo: Demo) -> str:
    """Set the tax rules, the item criteria and the rule; the connector first has to have heard of the companies."""
    for company in demo.feed.world.companies:
        settings: dict[str, Any] = {
            "mappings": [],
            "event_criteria": [],
            "item_criteria": list(company.item_criteria),
            "tax_rules": company.tax_rules(),
            "schedule": None,
            "auto_pass_field": None,
            "documents_elsewhere": False,
            "additional_recipients": ADDITIONAL_RECIPIENT,
            "payment_days": 30,
        }
        path = f"/companies/{company.company_id}/settings"
        await _until_known(demo, path)
        await demo.services.put("accounting-connector", path, settings)
    rule = {
        "kind": "sales_invoice",
        "priority": 10,
        "active_from": None,
        "active_to": None,
        "fail_status": "rejected",
        "mode": "validation",
        "expression": f"total_net <= {LARGEST_TOTAL}",
        "combine": None,
        "children": [],
        "message": f"more than {LARGEST_TOTAL} is looked at first",
    }
    await demo.services.put("billing-runs", f"/rules/{RULE_CODE}", rule)
    return f"tax rules of {len(demo.feed.world.companies)} companies, one rule for billing runs"


async def _until_known(demo: Demo, path: str) -> None:
    async def known() -> bool:
        try:
            await demo.services.get("accounting-connector", path)
        except CallError as error:
            if error.problem is not None and error.problem.get("code") == "not_found":
                return False
            raise
        return True

    await demo.services.until(known, what=f"the company of {path}")
