"""`sluice migrate`: brings the services' schemas up to date."""

import os

import asyncpg
import typer

from shared.database.migrations import MigrationError
from sluice.client import DataOption
from sluice.console import JsonOption, answer_json, fail, say
from sluice.databases import migrate_services
from sluice.infrastructure.blocking import run_blocking
from sluice.state import StateError, state_of


def migrate(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Apply what is missing to the database in DATABASE_URL (an administrator's), else to the running system's.

    Roles keep the passwords they have; a new role has none until an administrator gives it one.
    """
    try:
        url = os.environ.get("DATABASE_URL") or str(state_of(data).summary()["database_url"])
        applied = run_blocking(migrate_services(url, {}))
    except (StateError, MigrationError, asyncpg.PostgresError, OSError) as error:
        fail(str(error))
    if as_json:
        answer_json({"applied": applied})
        raise typer.Exit
    for service, versions in applied.items():
        say(f"{service}: {', '.join(versions) or 'nothing to do'}")
