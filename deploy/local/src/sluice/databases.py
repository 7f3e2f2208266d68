"""The services' schemas and roles in the system's database."""

from collections.abc import Mapping
from typing import Final

import asyncpg

from shared.database.migrations import migrate, role_of
from sluice.folders import REPOSITORY
from sluice.services import SERVICES, LocalService

_CONNECT_SECONDS_MAX: Final = 15


async def migrate_services(
    administrator_url: str, passwords: Mapping[str, str], services: tuple[LocalService, ...] = SERVICES
) -> dict[str, list[str]]:
    """Bring the services' schemas up to date; returns the versions that were applied, by service.

    `passwords` are the roles' by name; a role without one keeps its own.
    Raises shared.database.migrations.MigrationError.
    """
    applied = {}
    connection = await asyncpg.connect(administrator_url, timeout=_CONNECT_SECONDS_MAX)
    try:
        for service in services:
            applied[service.name] = await migrate(
                connection,
                schema=service.module,
                password=passwords.get(role_of(service.module)),
                folder=REPOSITORY / "services" / service.name / "migrations",
            )
    finally:
        await connection.close()
    return applied
