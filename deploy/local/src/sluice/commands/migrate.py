"""`sluice migrate`: brings the services' schemas up to date."""

import os
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from shared.database.migrations import MigrationError, role_of
from shared.settings import secrets_folder
from sluice.client import DataOption
from sluice.console import JsonOption, answer_json, fail, say
from sluice.databases import migrate_services
from sluice.infrastructure.blocking import run_blocking
from sluice.services import SERVICES
from sluice.state import StateError, state_of


def migrate(
    data: DataOption = None,
    passwords: Annotated[
        Path | None,
        typer.Option(
            "--passwords",
            exists=True,
            file_okay=False,
            help="A folder with a file for each role (sluice_release, …) that holds its password.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Apply what is missing to the database in DATABASE_URL (an administrator's), else to the running system's.

    Roles without a file in --passwords keep the passwords they have; a new role has none until it is given one.
    """
    try:
        given = {} if passwords is None else _passwords_in(passwords)
        url = administrator_url() or str(state_of(data).summary()["database_url"])
        applied = run_blocking(migrate_services(url, given))
    except (
        StateError,
        MigrationError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        OSError,
        ValueError,
    ) as error:
        fail(str(error))
    if as_json:
        answer_json({"applied": applied})
        raise typer.Exit
    for service, versions in applied.items():
        say(f"{service}: {', '.join(versions) or 'nothing to do'}")


def administrator_url() -> str | None:
    """DATABASE_URL, from the environment or the folder of secrets; None where it is not set."""
    folder = secrets_folder()
    if "DATABASE_URL" in os.environ or folder is None or not (folder / "DATABASE_URL").is_file():
        return os.environ.get("DATABASE_URL")
    return (folder / "DATABASE_URL").read_text("utf-8").strip()


def _passwords_in(folder: Path) -> dict[str, str]:
    files = {role: folder / role for role in (role_of(service.module) for service in SERVICES)}
    return {role: file.read_text("utf-8").strip() for role, file in files.items() if file.is_file()}
