"""The books of the connector, checked whenever somebody asks (domain.md section 6)."""

import datetime
from typing import Any

import orjson

from accounting_connector.facts import format_instant
from accounting_connector.store import reconciliation
from accounting_connector.store.connection import Connection
from shared.database.database import Database
from shared.database.unit_of_work import UnitOfWork
from shared.ids import derived_id
from shared.telemetry import metrics


async def reconcile(database: Database) -> dict[str, Any]:
    """All checks over one state of the tables. What does not balance is also published, for the operators."""

    async def look(connection: Connection) -> tuple[dict[str, Any], Any]:
        found = await reconciliation.find_differences(connection)
        return found, await reconciliation.read_positions(connection)

    found, positions = await database.read(look)
    checks = [
        {"check": check, "balanced": not differences, "differences": differences}
        for check, differences in found.items()
    ]
    for check, differences in found.items():
        metrics.set_book_differences(check, len(differences))
    unbalanced = [check for check in checks if not check["balanced"]]
    if unbalanced:
        await database.run(lambda work: _publish(work, unbalanced))
    return {"balanced": not unbalanced, "checks": checks, "positions": positions}


async def _publish(work: UnitOfWork, unbalanced: list[dict[str, Any]]) -> None:
    # The same differences are the same finding, however often it is looked for.
    found = orjson.dumps(unbalanced, option=orjson.OPT_SORT_KEYS).decode()
    reconciliation_id = derived_id("reconciliation", "accounting-connector", found)
    body = {
        "reconciliation_id": reconciliation_id,
        "time": format_instant(datetime.datetime.now(datetime.UTC)),
        "checks": unbalanced,
        "starter": None,
    }
    work.publish("accounting.reconciliation.difference-found.v1", reconciliation_id, body)
