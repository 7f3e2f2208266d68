"""Fresh databases with a service's schema, copied from one that was migrated once per run."""

import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from shared.database.migrations import role_of
from sluice.databases import migrate_services
from sluice.infrastructure.blocking import run_blocking
from sluice.services import SERVICES, LocalService, service_named

_PASSWORD: Final = "test"


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database of its own: `url` signs in as the service's role, `administrator_url` may do everything."""

    name: str
    schema: str
    url: str
    administrator_url: str


class Databases:
    """Makes databases on one server."""

    def __init__(self, administrator_url: str) -> None:
        self._administrator_url = administrator_url
        self._templates: dict[str, str] = {}

    def fresh(self, service: str) -> FreshDatabase:
        """A new database in which only this service's schema is migrated."""
        wanted = service_named(service)
        return self._seen_by(wanted, self._copied(service, (wanted,)))

    def shared_by_all(self) -> dict[str, FreshDatabase]:
        """A new database with the schemas of all services, as each of them sees it."""
        name = self._copied("all", SERVICES)
        return {service.name: self._seen_by(service, name) for service in SERVICES}

    def drop(self, database: FreshDatabase) -> None:
        """Take it away, whoever is still connected."""
        self._execute(f'drop database if exists "{database.name}" with (force)')

    def _copied(self, what: str, services: tuple[LocalService, ...]) -> str:
        if what not in self._templates:
            self._templates[what] = self._make_template(what, services)
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f'create database "{name}" template "{self._templates[what]}"')
        return name

    def _make_template(self, what: str, services: tuple[LocalService, ...]) -> str:
        name = f"template_{what.replace('-', '_')}_{secrets.token_hex(4)}"
        self._execute(f'create database "{name}"')
        passwords = {role_of(service.module): _PASSWORD for service in services}
        run_blocking(migrate_services(self._address(name), passwords, services))
        return name

    def _seen_by(self, service: LocalService, name: str) -> FreshDatabase:
        return FreshDatabase(
            name=name,
            schema=service.module,
            url=self._address(name, user=role_of(service.module), password=_PASSWORD),
            administrator_url=self._address(name),
        )

    def _address(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        parts = urlsplit(self._administrator_url)
        if user is not None:
            parts = parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}")
        return parts._replace(path=f"/{database}").geturl()

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self._administrator_url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run_blocking(execute())
